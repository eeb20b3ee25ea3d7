"""The `Segmenter`: the calls that SAM users know, over the two graphs of a bundle.

Owns the order of the steps and the current picture. What a step does is in `images`, `preprocess`, `prompts` and
`postprocess`; what runs a graph is a `Session`.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..contract import Array, EngineReport, FloatArray, ImageArray, MaskRule, Preprocessing, Session
from ..errors import ContractError, RequestError
from .automatic import AutomaticMaskGenerator, MaskRecord
from .automatic_options import GeneratorKeywords
from .images import image_array
from .mask_choice import answering_tokens, fed_back
from .postprocess import upsample
from .preprocess import prepare_image
from .prompts import Prompts, check_prompts, decoder_feeds, one_prompt
from .selftest import SelfTestResult, SelfTestSuite, engine_name, run_selftest

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage


class Prediction(NamedTuple):
    """Masks of one prompt; `predict_batch` puts an axis B before each.

    Shapes:
        masks            [C, H, W]  bool, in the caller's picture; float32 logits with `return_logits`
        iou_predictions  [C]        float32, the model's own estimate of each mask's IoU
        low_res_masks    [C, h, w]  float32 logits, fit for `mask_input`
    """

    masks: NDArray[np.bool_] | FloatArray
    iou_predictions: FloatArray
    low_res_masks: FloatArray


@dataclass(frozen=True)
class EncodedPicture:
    """Encoder outputs of one picture, by name, and the picture's own height and width."""

    original_hw: tuple[int, int]
    features: Mapping[str, Array]


class Segmenter:
    """Answers prompts on a picture, as `SamPredictor` does, in pixels of the caller's picture.

        segmenter.set_image(image)
        masks, iou_predictions, low_res_masks = segmenter.predict(box=[x0, y0, x1, y1])

    Threads: every call is safe, and the engine serves one call at a time. There is one current picture, so threads
    with pictures of their own need a segmenter each, or `encode` and `decode`, which leave the current one alone.

    Args:
        sessions: one a component: "image_encoder" and "mask_decoder".
        selftest: the bundle's own cases, for `selftest()`.
    """

    def __init__(
        self,
        sessions: Mapping[str, Session],
        preprocessing: Preprocessing,
        mask_rule: MaskRule,
        *,
        selftest: SelfTestSuite | None = None,
    ) -> None:
        missing = {"image_encoder", "mask_decoder"} - set(sessions)
        if missing:
            raise ContractError(f"segmenter: no session for {', '.join(sorted(missing))}; given: {sorted(sessions)}")
        self._sessions = dict(sessions)
        self._preprocessing = preprocessing
        self._mask_rule = mask_rule
        self._selftest = selftest
        self._lock = threading.Lock()
        self._picture: EncodedPicture | None = None

    @property
    def preprocessing(self) -> Preprocessing:
        return self._preprocessing

    @property
    def mask_rule(self) -> MaskRule:
        return self._mask_rule

    @property
    def reports(self) -> dict[str, EngineReport]:
        """What each component's engine says that it really uses."""
        return {component: session.report for component, session in self._sessions.items()}

    @property
    def is_image_set(self) -> bool:
        return self._picture is not None

    @property
    def original_hw(self) -> tuple[int, int]:
        """Height and width of the current picture."""
        return self._current().original_hw

    def set_image(self, image: ImageArray | PilImage) -> None:
        """Encode a picture, uint8 [H, W, 3] RGB or a PIL image, and make it the current one.

        Raises:
            ImageError: anything else, or a PIL image that is transparent, deeper than 8 bits or not upright.
        """
        self._picture = None  # a picture that cannot be used must not leave the earlier one to answer
        self._picture = self.encode(image)

    def reset_image(self) -> None:
        """Forget the current picture."""
        self._picture = None

    def get_image_embedding(self) -> FloatArray:
        """Return `image_embeddings` of the current picture, [1, C, h, w]."""
        embeddings: FloatArray = self._current().features["image_embeddings"]
        return embeddings

    def encode(self, image: ImageArray | PilImage) -> EncodedPicture:
        """Return a picture encoded, without making it the current one."""
        prepared = prepare_image(image_array(image), self._preprocessing)
        return EncodedPicture(prepared.original_hw, self._run("image_encoder", {"image": prepared.tensor}))

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
        picture = self._current()
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
        """Return the masks of B prompts on the current picture, from one call of the decoder.

        Unlike upstream's `predict_torch` it takes pixels of the picture, not of the prompt frame. All prompts have the
        same number of points: padding points take part in attention, so filling up would change the masks.

        Shapes:
            point_coords  [B, N, 2]     (x, y) in pixels of the picture
            point_labels  [B, N]        1 foreground, 0 background
            boxes         [B, 4]        x0, y0, x1, y1 in pixels of the picture
            mask_input    [B, 1, h, w]  low-res logits of an earlier answer
            returns       masks [B, C, H, W], iou_predictions [B, C], low_res_masks [B, C, h, w]

        Raises:
            RequestError: as `predict`.
        """
        picture = self._current()
        prompts = check_prompts(
            point_coords,
            point_labels,
            boxes,
            mask_input,
            original_hw=picture.original_hw,
            rule=self._mask_rule,
        )
        return self.decode(picture, prompts, multimask_output=multimask_output, return_logits=return_logits)

    def decode(
        self, picture: EncodedPicture, prompts: Prompts, *, multimask_output: bool = True, return_logits: bool = False
    ) -> Prediction:
        """Return the masks of checked prompts on an encoded picture, with the axes of `predict_batch`."""
        iou_predictions, low_res = self.decode_low_res(picture, prompts, multimask_output=multimask_output)
        masks = self._masks(low_res, picture.original_hw, return_logits)
        return Prediction(masks, iou_predictions, fed_back(low_res, self._mask_rule))

    def decode_low_res(
        self, picture: EncodedPicture, prompts: Prompts, *, multimask_output: bool = True
    ) -> tuple[FloatArray, FloatArray]:
        """Return `iou_predictions` [B, C] and `low_res_masks` [B, C, h, w], for callers that upsample few of them.

        The logits are the decoder's own, which `decode` clips where the rule says so.
        """
        feeds = decoder_feeds(prompts, picture.original_hw, self._preprocessing, self._mask_rule)
        outputs = self._run("mask_decoder", {**picture.features, **feeds})
        low_res, ious = (self._checked(outputs, name) for name in ("low_res_masks", "iou_predictions"))
        tokens = answering_tokens(low_res, ious, self._mask_rule, multimask_output=multimask_output)
        prompts_of = np.arange(len(tokens))[:, np.newaxis]
        return ious[prompts_of, tokens], low_res[prompts_of, tokens]

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

    def _current(self) -> EncodedPicture:
        picture = self._picture
        if picture is None:
            raise RequestError("segmenter: no picture is set; call set_image first")
        return picture

    def _run(self, component: str, feeds: Mapping[str, Array]) -> dict[str, Array]:
        with self._lock:
            return self._sessions[component].run(feeds)

    def _checked(self, outputs: Mapping[str, Array], name: str) -> FloatArray:
        """Return a decoder output as float32. NaN would pass every threshold as background, unseen."""
        output: FloatArray = np.asarray(outputs[name], np.float32)
        if not np.isfinite(output).all():
            engine = engine_name(self._sessions["mask_decoder"].report)
            raise ContractError(
                f"mask_decoder on {engine}: {name} holds NaN or infinity, allowed: finite numbers; "
                "run selftest(), and open the bundle on another device or in fp32"
            )
        return output

    def _masks(
        self, low_res: FloatArray, original_hw: tuple[int, int], return_logits: bool
    ) -> NDArray[np.bool_] | FloatArray:
        """Return [B, C, H, W]. Prompt by prompt, so that full-size logits exist for one prompt at a time."""
        logits = (upsample(masks, original_hw, self._preprocessing, self._mask_rule) for masks in low_res)
        if return_logits:
            return np.stack(list(logits))
        return np.stack([masks > self._mask_rule.threshold for masks in logits])
