"""The two graphs of a bundle as one model: pictures are encoded, prompts on them decoded. Keeps no picture."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..contract import Array, EngineReport, FloatArray, ImageArray, MaskRule, Preprocessing, Session
from ..errors import ContractError, RequestError
from .decoder_feeds import decoder_feeds
from .images import image_array
from .mask_choice import answering_tokens, fed_back
from .postprocess import masks_in_picture, upsample
from .preprocess import PreparedImage, prepare_image
from .prompts import Prompts
from .selftest import engine_name

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

# What the decoder may need at once for a large batch of prompts; measured on LiteMedSAM with onnxruntime, it is eight
# times the encoder's outputs a prompt (33 MB), and more prompts at once are no faster.
WORKING_SET_BYTES = 512 * 2**20
FEATURES_A_PROMPT = 8


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

    @property
    def prompts_at_once(self) -> int:
        """How many prompts go through the decoder together."""
        size = sum(feature.nbytes for feature in self.features.values())
        return max(1, WORKING_SET_BYTES // (FEATURES_A_PROMPT * size))


class PictureModel:
    """Encodes pictures and decodes prompts on them. Every call is safe in threads; each graph serves one at a time.

    Args:
        sessions: one a component: "image_encoder" and "mask_decoder".
    """

    def __init__(self, sessions: Mapping[str, Session], preprocessing: Preprocessing, mask_rule: MaskRule) -> None:
        missing = {"image_encoder", "mask_decoder"} - set(sessions)
        if missing:
            raise ContractError(f"segmenter: no session for {', '.join(sorted(missing))}; given: {sorted(sessions)}")
        self._sessions = dict(sessions)
        self._preprocessing = preprocessing
        self._mask_rule = mask_rule
        self._locks = {name: threading.Lock() for name in sessions}

    @property
    def sessions(self) -> Mapping[str, Session]:
        """The graphs by component, to be run on their own; not safe beside calls of this object in other threads."""
        return self._sessions

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

    def encode(self, image: ImageArray | PilImage) -> EncodedPicture:
        """Return a picture encoded, uint8 [H, W, 3] RGB or a PIL image.

        Raises:
            ImageError: anything else, or a PIL image that is transparent, deeper than 8 bits or not upright.
        """
        return self.encode_prepared(self.prepare(image))

    def prepare(self, image: ImageArray | PilImage) -> PreparedImage:
        """Return a picture as the encoder takes it; raises as `encode`. Needs no engine, so it can run ahead."""
        return prepare_image(image_array(image), self._preprocessing)

    def encode_prepared(self, prepared: PreparedImage) -> EncodedPicture:
        """Return a prepared picture encoded."""
        return EncodedPicture(prepared.original_hw, self._run("image_encoder", {"image": prepared.tensor}))

    def decode(
        self, picture: EncodedPicture, prompts: Prompts, *, multimask_output: bool = True, return_logits: bool = False
    ) -> Prediction:
        """Return the masks of checked prompts on an encoded picture, with the axes of `Segmenter.predict_batch`.

        Raises:
            RequestError: the masks do not fit into memory.
        """
        iou_predictions, low_res = self.decode_low_res(picture, prompts, multimask_output=multimask_output)
        to_picture = upsample if return_logits else masks_in_picture
        flat = low_res.reshape(-1, *low_res.shape[2:])
        try:
            masks = to_picture(flat, picture.original_hw, self._preprocessing, self._mask_rule)
        except MemoryError as exc:
            height, width = picture.original_hw
            raise RequestError(
                f"{len(flat)} masks of {height}x{width} pixels do not fit into memory; give fewer prompts at once"
            ) from exc
        shaped = masks.reshape(*low_res.shape[:2], *picture.original_hw)
        return Prediction(shaped, iou_predictions, fed_back(low_res, self._mask_rule))

    def decode_low_res(
        self, picture: EncodedPicture, prompts: Prompts, *, multimask_output: bool = True
    ) -> tuple[FloatArray, FloatArray]:
        """Return `iou_predictions` [B, C] and `low_res_masks` [B, C, h, w], for callers that upsample few of them.

        The logits are the decoder's own, which `decode` clips where the rule says so. Large batches go through the
        decoder in parts, so that what it needs at once is bounded.
        """
        parts = [
            self._answers(picture, part, multimask_output=multimask_output)
            for part in prompts.parts(picture.prompts_at_once)
        ]
        if len(parts) == 1:
            return parts[0]
        return np.concatenate([ious for ious, _ in parts]), np.concatenate([low_res for _, low_res in parts])

    def _answers(
        self, picture: EncodedPicture, prompts: Prompts, *, multimask_output: bool
    ) -> tuple[FloatArray, FloatArray]:
        feeds = decoder_feeds(prompts, picture.original_hw, self._preprocessing, self._mask_rule)
        outputs = self._run("mask_decoder", {**picture.features, **feeds})
        low_res, ious = (self._checked(outputs, name) for name in ("low_res_masks", "iou_predictions"))
        tokens = answering_tokens(low_res, ious, self._mask_rule, multimask_output=multimask_output)
        prompts_of = np.arange(len(tokens))[:, np.newaxis]
        return ious[prompts_of, tokens], low_res[prompts_of, tokens]

    def _run(self, component: str, feeds: Mapping[str, Array]) -> dict[str, Array]:
        with self._locks[component]:
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
