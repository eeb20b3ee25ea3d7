"""Segmenting everything: a grid of points through the decoder, and the masks that are good and not there yet.

The options and the answer are those of upstream's generators, so that code written for them runs on a bundle. Source:
`SamAutomaticMaskGenerator` (facebookresearch/segment-anything), `SAM2AutomaticMaskGenerator` (facebookresearch/sam2),
and for `hierarchical` `SamHierarchicalMaskGenerator` (xinghaochen/TinySAM).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from ..contract import FloatArray, ImageArray, PointLabel
from .automatic_filters import Answers, Candidate, CropFrame, Thresholds
from .automatic_grid import Crop, Points, crops_of, grids_by_layer
from .automatic_hierarchy import SureMap, waves
from .automatic_options import GeneratorKeywords, GeneratorOptions, OutputMode
from .automatic_windows import upsampler
from .box_nms import kept_boxes
from .coco import CocoRle
from .images import image_array
from .mask_regions import without_small_regions
from .mask_runs import MaskRuns, UncompressedRle, binary_mask, box_of_runs, coco_rle, uncompressed_rle
from .prompts import Prompts

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

    from .picture_model import EncodedPicture
    from .segmenter import Segmenter

Progress = Callable[[int, int], None]
Step = Callable[[int], None]
# ms a point of everything mode with LiteMedSAM on two cores, in batches of 1, 8, 16: onnxruntime 51, 45, 39; OpenVINO
# 49, 42, 40. What is no processor wants larger ones.
POINTS_PER_BATCH = {"CPUExecutionProvider": 16, "CPU": 16}
POINTS_PER_BATCH_ELSEWHERE = 64
# SAM 2 clips the logits that it feeds back.
FED_BACK = 32.0


class MaskRecord(TypedDict):
    """One mask, as upstream's generators give it.

    `bbox` and `crop_box` are x, y, width, height in pixels of the picture; as upstream, `bbox` ends at the centres of
    the last pixels, so that its width is one less than the number of columns. `point_coords` is [[x, y]].
    """

    segmentation: NDArray[np.bool_] | UncompressedRle | CocoRle
    area: int
    bbox: list[int]
    predicted_iou: float
    point_coords: list[list[float]]
    stability_score: float
    crop_box: list[int]


class AutomaticMaskGenerator:
    """Segments everything in a picture.

        masks = AutomaticMaskGenerator(segmenter, points_per_side=16).generate(image)

    Unlike upstream's it returns no empty masks.

    Args:
        keywords: those of `GeneratorOptions`, which have upstream's names and defaults.

    Raises:
        RequestError: an option that makes no sense; the text says what is allowed.
    """

    def __init__(self, segmenter: Segmenter, **keywords: Unpack[GeneratorKeywords]) -> None:
        self.segmenter = segmenter
        self.options = GeneratorOptions(**keywords)
        self._grids = _grids(self.options)

    @property
    def notes(self) -> tuple[str, ...]:
        """What one should know before using the masks; empty for a model that was trained on points."""
        if "point" in self.segmenter.mask_rule.prompts:
            return ()
        return (
            "this model was not trained to answer to points, which is how everything is segmented: "
            "its masks and scores are what they happen to be, and the bundle's accuracy does not cover them",
        )

    def generate(self, image: ImageArray | PilImage, progress: Progress | None = None) -> list[MaskRecord]:
        """Return the masks of everything in a picture, uint8 [H, W, 3] RGB or a PIL image; the best first.

        The segmenter's current picture stays. Full-size logits exist for one mask at a time.

        Args:
            progress: called with the number of points asked so far and of all; with `hierarchical`, fewer are asked.

        Raises:
            ImageError: as `Segmenter.set_image`.
        """
        return [self._record(found) for found in self.candidates(image, progress)]

    def candidates(self, image: ImageArray | PilImage, progress: Progress | None = None) -> list[Candidate]:
        """Return what `generate` does, with each mask as its runs."""
        pixels = image_array(image)
        crops = crops_of(
            (pixels.shape[0], pixels.shape[1]), self.options.crop_n_layers, self.options.crop_overlap_ratio
        )
        total, done, found = sum(len(self._grids[crop.layer]) for crop in crops), 0, list[Candidate]()
        for crop in crops:
            step = None if progress is None else partial(_step, progress, done, total)
            found += self._in_crop(pixels, crop, step)
            done += len(self._grids[crop.layer])
        if len(crops) > 1:
            found = _apart(found, [1 / candidate.crop.area for candidate in found], self.options.crop_nms_thresh)
        return self._cleaned(found) if self.options.min_mask_region_area > 0 else found

    def _in_crop(self, pixels: ImageArray, crop: Crop, step: Step | None) -> list[Candidate]:
        """Return the candidates of one crop that are apart, the best first."""
        picture = self.segmenter.encode(np.ascontiguousarray(pixels[crop.y0 : crop.y1, crop.x0 : crop.x1]))
        to_crop = upsampler(crop.hw, self.segmenter.preprocessing, self.segmenter.mask_rule)
        frame = CropFrame(crop, (pixels.shape[0], pixels.shape[1]), to_crop)
        points = self._grids[crop.layer] * (crop.hw[1], crop.hw[0])
        found = list(self._asked(picture, frame, points, step))
        return _apart(found, [candidate.predicted_iou for candidate in found], self.options.box_nms_thresh)

    def _asked(
        self, picture: EncodedPicture, frame: CropFrame, points: Points, step: Step | None
    ) -> Iterator[Candidate]:
        sure = SureMap(frame.crop.hw, self.options.high_score_thresh)
        size = self.options.points_per_batch or self._usual_batch
        for wave in waves(len(points)) if self.options.hierarchical else (np.arange(len(points)),):
            asked = wave[~sure.covers(points[wave])]
            for start in range(0, len(asked), size):
                answers = self._answers(picture, points[asked[start : start + size]])
                for candidate, window in frame.candidates(answers, self._thresholds):
                    sure.add(window)
                    yield candidate
                if step is not None:
                    step(int(asked[start : start + size][-1]) + 1)

    @property
    def _usual_batch(self) -> int:
        device = self.segmenter.reports["mask_decoder"].device
        return POINTS_PER_BATCH.get(device, POINTS_PER_BATCH_ELSEWHERE)

    @property
    def _thresholds(self) -> Thresholds:
        own, asked = self.segmenter.mask_rule.threshold, self.options.mask_threshold
        return Thresholds(
            predicted_iou=self.options.pred_iou_thresh,
            stability=self.options.stability_score_thresh,
            stability_offset=self.options.stability_score_offset,
            mask=own if asked is None else asked,
        )

    def _answers(self, picture: EncodedPicture, points: Points) -> Answers:
        """Return the answers to a batch of points, all masks of a point in turn."""
        ious, masks = self._decoded(picture, points, None, self.options.multimask_output)
        points = points.repeat(ious.shape[1], axis=0)
        if self.options.use_m2m:
            earlier = masks.reshape(-1, 1, *masks.shape[2:]).clip(-FED_BACK, FED_BACK)
            ious, masks = self._decoded(picture, points, earlier, False)
        return Answers(points, ious.ravel(), masks.reshape(-1, *masks.shape[2:]))

    def _decoded(
        self, picture: EncodedPicture, points: Points, mask_input: FloatArray | None, multimask_output: bool
    ) -> tuple[FloatArray, FloatArray]:
        labels = np.full((len(points), 1), PointLabel.FOREGROUND, np.int64)
        prompts = Prompts(points[:, np.newaxis], labels, mask_input=mask_input)
        return self.segmenter.decode_low_res(picture, prompts, multimask_output=multimask_output)

    def _cleaned(self, found: Sequence[Candidate]) -> list[Candidate]:
        """Return the masks without small holes and islands; of those that become the same, one that had none."""
        cleaned, unchanged = [], []
        for candidate in found:
            runs, changed = without_small_regions(candidate.runs, self.options.min_mask_region_area)
            cleaned.append(replace(candidate, runs=runs, box=box_of_runs(runs)) if changed else candidate)
            unchanged.append(float(not changed))
        return _apart(cleaned, unchanged, max(self.options.box_nms_thresh, self.options.crop_nms_thresh))

    def _record(self, found: Candidate) -> MaskRecord:
        x0, y0, x1, y1 = found.box
        return {
            "segmentation": _SEGMENTATIONS[self.options.output_mode](found.runs),
            "area": found.runs.area,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "predicted_iou": found.predicted_iou,
            "point_coords": [list(found.point)],
            "stability_score": found.stability_score,
            "crop_box": list(found.crop.xywh),
        }


_SEGMENTATIONS: Mapping[OutputMode, Callable[[MaskRuns], NDArray[np.bool_] | UncompressedRle | CocoRle]] = {
    "binary_mask": binary_mask,
    "uncompressed_rle": uncompressed_rle,
    "coco_rle": coco_rle,
}


def _grids(options: GeneratorOptions) -> Sequence[Points]:
    if options.points_per_side is not None:
        return grids_by_layer(options.points_per_side, options.crop_n_layers, options.crop_n_points_downscale_factor)
    return [np.asarray(grid, np.float64) for grid in options.point_grids or ()]


def _apart(found: Sequence[Candidate], scores: Sequence[float], iou_threshold: float) -> list[Candidate]:
    return [found[index] for index in kept_boxes([one.box for one in found], scores, iou_threshold)]


def _step(progress: Progress, before: int, total: int, done: int) -> None:
    progress(before + done, total)
