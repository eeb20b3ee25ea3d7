"""The `Segmenter`: the calls that SAM users know, over the two graphs of a bundle.

Owns the current picture, or pictures. What runs the graphs is in `picture_model`, what a prompt must be in `prompts`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from numpy.typing import ArrayLike

from ..contract import FloatArray, ImageArray, MaskRule, Preprocessing, Session
from ..errors import RequestError
from .automatic import AutomaticMaskGenerator, MaskRecord
from .automatic_options import GeneratorKeywords
from .embedding_file import read_embedding, write_embedding
from .embedding_format import decode_embedding
from .embedding_key import EmbeddingKey
from .embedding_tensors import EmbeddingDtype
from .images import image_arrays
from .picture_model import EncodedPicture, PictureModel, Prediction
from .picture_prompts import PartOfPictures, prompts_of_pictures
from .prompts import check_prompts, one_prompt
from .selftest import SelfTestResult, SelfTestSuite, run_selftest

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage


class Segmenter(PictureModel):
    """Answers prompts on a picture, as `SamPredictor` does, in pixels of the caller's picture.

        segmenter.set_image(image)
        masks, iou_predictions, low_res_masks = segmenter.predict(box=[x0, y0, x1, y1])

    Threads: every call is safe, and each graph serves one call at a time. There is one current picture, so threads
    with pictures of their own need a segmenter each, or `encode` and `decode`, which leave the current one alone.

    Args:
        sessions: one a component: "image_encoder" and "mask_decoder".
        selftest: the bundle's own cases, for `selftest()`.
        embedding_key: which embeddings fit, for `save_embedding` and `load_embedding`.
    """

    def __init__(
        self,
        sessions: Mapping[str, Session],
        preprocessing: Preprocessing,
        mask_rule: MaskRule,
        *,
        selftest: SelfTestSuite | None = None,
        embedding_key: EmbeddingKey | None = None,
    ) -> None:
        super().__init__(sessions, preprocessing, mask_rule)
        self._selftest = selftest
        self._embedding_key = embedding_key
        self._pictures: tuple[EncodedPicture, ...] = ()

    @property
    def is_image_set(self) -> bool:
        return bool(self._pictures)

    @property
    def picture(self) -> EncodedPicture:
        """The current picture, encoded.

        Raises:
            RequestError: there is none, or there are several.
        """
        pictures = self._pictures
        if len(pictures) > 1:
            raise RequestError(f"segmenter: {len(pictures)} pictures are set; call predict_image_batch, or set_image")
        if not pictures:
            raise RequestError("segmenter: no picture is set; call set_image first")
        return pictures[0]

    @property
    def original_hw(self) -> tuple[int, int]:
        """Height and width of the current picture."""
        return self.picture.original_hw

    @property
    def original_sizes(self) -> tuple[tuple[int, int], ...]:
        """Height and width of every picture that is set."""
        return tuple(picture.original_hw for picture in self._pictures)

    @property
    def embedding_key(self) -> EmbeddingKey:
        """Which embeddings fit this model.

        Raises:
            RequestError: the segmenter was not opened from a bundle.
        """
        if self._embedding_key is None:
            raise RequestError("embedding: this segmenter was not opened from a bundle; use open_bundle")
        return self._embedding_key

    def set_image(self, image: ImageArray | PilImage) -> None:
        """Encode a picture, uint8 [H, W, 3] RGB or a PIL image, and make it the current one.

        Raises:
            ImageError: anything else, or a PIL image that is transparent, deeper than 8 bits or not upright.
        """
        self._pictures = ()  # a picture that cannot be used must not leave the earlier one to answer
        self._pictures = (self.encode(image),)

    def set_picture(self, picture: EncodedPicture) -> None:
        """Make a picture that this model has encoded the current one: of `encode`, or of `read_embedding`."""
        self._pictures = (picture,)

    def set_image_batch(self, images: Sequence[ImageArray | PilImage]) -> None:
        """Encode several pictures, of any sizes, for `predict_image_batch`; all of them, or none.

        Raises:
            RequestError: not a list of pictures, or an empty one.
            ImageError: as `set_image`; the text says which.
        """
        self._pictures = ()
        self._pictures = tuple(self.encode(image) for image in image_arrays(images))

    def reset_image(self) -> None:
        """Forget the current picture, or pictures."""
        self._pictures = ()

    def get_image_embedding(self) -> FloatArray:
        """Return `image_embeddings` of the current picture, [1, C, h, w]."""
        embeddings: FloatArray = self.picture.features["image_embeddings"]
        return embeddings

    def save_embedding(self, path: Path | str, dtype: EmbeddingDtype = "fp32") -> int:
        """Write the current picture, encoded, to a `.semb` file, in place of an older one; return its size in bytes.

        Args:
            dtype: "fp32" as it is, "fp16", or "int8" with a grid a channel, a quarter of the size.

        Raises:
            RequestError: no current picture, an unknown dtype, or the segmenter was not opened from a bundle.
            EmbeddingError: the features do not fit into the dtype.
            OutputError: the file cannot be written.
        """
        return write_embedding(Path(path), self.embedding_key.embedding(self.picture), dtype)

    def load_embedding(self, source: Path | str | bytes) -> None:
        """Make an encoded picture the current one: a `.semb` file, or its bytes; no encoder runs.

        Raises:
            EmbeddingError: no `.semb`, a damaged one, or one of another checkpoint.
            RequestError: the segmenter was not opened from a bundle.
        """
        self._pictures = ()
        self._pictures = (self.read_embedding(source),)

    def read_embedding(self, source: Path | str | bytes) -> EncodedPicture:
        """Return an encoded picture for `decode`, without making it the current one; raises as `load_embedding`."""
        key = self.embedding_key
        if isinstance(source, bytes):
            name = f"embedding of {len(source)} bytes"
            return key.picture(decode_embedding(source, name), name)
        return key.picture(read_embedding(Path(source)), str(source))

    def predict(
        self,
        point_coords: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask_input: ArrayLike | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> Prediction:
        """Return the masks of one prompt on the current picture.

        `multimask_output` gives the masks of `mask_rule.multimask_tokens` (C = 3 for SAM), otherwise the single one
        (C = 1). A model that has no multimask tokens always answers with its one mask.

        Shapes:
            point_coords  [N, 2]          (x, y) in pixels of the picture
            point_labels  [N]             1 foreground, 0 background
            box           [4] or [1, 4]   x0, y0, x1, y1 in pixels of the picture
            mask_input    [1, h, w]       `low_res_masks[i : i + 1]` of an earlier answer

        Raises:
            RequestError: no current picture, or a prompt that makes no sense; the text says which and why.
        """
        picture = self.picture
        prompts = one_prompt(
            point_coords, point_labels, box, mask_input, original_hw=picture.original_hw, rule=self._mask_rule
        )
        batch = self.decode(picture, prompts, multimask_output=multimask_output, return_logits=return_logits)
        return Prediction(*(part[0] for part in batch))

    def predict_batch(
        self,
        point_coords: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        boxes: ArrayLike | None = None,
        mask_input: ArrayLike | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> Prediction:
        """Return the masks of B prompts on the current picture, decoded together.

        Unlike upstream's `predict_torch` it takes pixels of the picture, not of the prompt frame. All prompts have the
        same number of points: padding points take part in attention, so filling up would change the masks. Hundreds
        of prompts go through the decoder in parts, so that its memory is bounded.

        Shapes:
            point_coords  [B, N, 2]     (x, y) in pixels of the picture
            point_labels  [B, N]        1 foreground, 0 background
            boxes         [B, 4]        x0, y0, x1, y1 in pixels of the picture
            mask_input    [B, 1, h, w]  low-res logits of an earlier answer
            returns       masks [B, C, H, W], iou_predictions [B, C], low_res_masks [B, C, h, w]

        Raises:
            RequestError: as `predict`.
        """
        picture = self.picture
        prompts = check_prompts(
            point_coords,
            point_labels,
            boxes,
            mask_input,
            original_hw=picture.original_hw,
            rule=self._mask_rule,
        )
        return self.decode(picture, prompts, multimask_output=multimask_output, return_logits=return_logits)

    def predict_image_batch(
        self,
        point_coords: PartOfPictures = None,
        point_labels: PartOfPictures = None,
        boxes: PartOfPictures = None,
        mask_input: PartOfPictures = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> tuple[Prediction, ...]:
        """Return what `predict_batch` would for each picture of `set_image_batch`; every list has an entry a picture.

        All prompts are checked before the first is decoded.

        Raises:
            RequestError: no pictures are set, a list of another length, or a bad prompt; the text names the picture.
        """
        pictures = self._pictures
        if not pictures:
            raise RequestError("segmenter: no pictures are set; call set_image_batch first")
        prompts = prompts_of_pictures(
            (point_coords, point_labels, boxes, mask_input), original_sizes=self.original_sizes, rule=self._mask_rule
        )
        return tuple(
            self.decode(picture, part, multimask_output=multimask_output, return_logits=return_logits)
            for picture, part in zip(pictures, prompts, strict=True)
        )

    def generate(self, image: ImageArray | PilImage, **options: Unpack[GeneratorKeywords]) -> list[MaskRecord]:
        """Return the masks of everything in a picture; the current one stays.

        `AutomaticMaskGenerator` with these options, which are upstream's.

        Raises:
            RequestError: an option that makes no sense; the text says what is allowed.
            ImageError: as `set_image`.
        """
        return AutomaticMaskGenerator(self, **options).generate(image)

    def selftest(self) -> tuple[SelfTestResult, ...]:
        """Return the bundle's own cases with the IoU that this machine reaches; the current picture stays.

        Raises:
            SelfTestError: a case is below the bundle's limit: this engine does not compute this model.
            RequestError: the segmenter was not opened from a bundle.
        """
        if self._selftest is None:
            raise RequestError("selftest: this segmenter was not opened from a bundle; use open_bundle")
        return run_selftest(self, self._selftest)
