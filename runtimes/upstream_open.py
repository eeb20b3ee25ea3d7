"""Opening a bundle by the calls that upstream opens a checkpoint with, and what upstream's `Sam` does by itself.

    sam = sam_model_registry["vit_b"](checkpoint="dist/sam_vit_b-onnx-fp32")
    model = build_sam2("configs/sam2.1/sam2.1_hiera_t.yaml", "dist/sam2.1_hiera_tiny-onnx-fp32")

Where the bundle is of another model than the name says, that is an error. Sources: `build_sam.py` and
`modeling/sam.py` (facebookresearch/segment-anything), `build_sam.py` (facebookresearch/sam2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypedDict, get_type_hints

from ..contract import Preprocessing
from ..errors import RequestError, UnsupportedError
from .bundle_reader import open_bundle
from .prompts import check_prompts
from .segmenter import Segmenter
from .upstream_tensors import as_given
from .upstream_transforms import PromptTransform

# What upstream's names are in the names of this project's models.
SAM_NAMES = {"default": "", "vit_h": "vit_h", "vit_l": "vit_l", "vit_b": "vit_b", "vit_t": "mobile_sam"}
SAM2_SIZES = {"t": "tiny", "s": "small", "b+": "base_plus", "l": "large"}


class SamInput(TypedDict, total=False):
    """One picture with its prompts; arrays or tensors on the CPU. Only `image` and `original_size` must be there.

    Shapes:
        image         [3, h, w]     resized by the model's transform, 0..255
        point_coords  [B, N, 2]     (x, y) in pixels of the prompt frame
        point_labels  [B, N]
        boxes         [B, 4]        likewise
        mask_inputs   [B, 1, h, w]
    """

    image: Any
    original_size: tuple[int, int]
    point_coords: Any
    point_labels: Any
    boxes: Any
    mask_inputs: Any


class SamOutput(TypedDict):
    """Masks [B, C, H, W] bool, IoU predictions [B, C] and logits [B, C, h, w]: tensors if the picture was one."""

    masks: Any
    iou_predictions: Any
    low_res_logits: Any


@dataclass(frozen=True)
class ImageEncoder:
    """What upstream's code asks of the encoder: how large `ResizeLongestSide` has to make a picture."""

    preprocessing: Preprocessing

    @property
    def img_size(self) -> int:
        """The longer side of a resized picture.

        Raises:
            UnsupportedError: this model stretches pictures, or takes prompts in a frame of another size.
        """
        pre = self.preprocessing
        if pre.fit != "letterbox" or pre.image_hw != pre.prompt_frame_hw:
            raise UnsupportedError(
                "ResizeLongestSide: is not how this model resizes pictures and prompts; take the model's own "
                "`transform`, which has the same calls"
            )
        return max(pre.image_hw)


class Sam:
    """Upstream's model of the first generation, over a `Segmenter` or the path of a bundle."""

    image_format: Literal["RGB"] = "RGB"

    def __init__(self, model: Segmenter | Path | str) -> None:
        self.segmenter = model if isinstance(model, Segmenter) else open_bundle(model)
        self.transform = PromptTransform(self.segmenter.preprocessing)
        self.image_encoder = ImageEncoder(self.segmenter.preprocessing)

    @property
    def device(self) -> str:
        """Where arrays are: in main memory, whatever the engine runs on."""
        return "cpu"

    @property
    def mask_threshold(self) -> float:
        return self.segmenter.mask_rule.threshold

    def to(self, device: object = "cpu") -> Sam:
        """Return this model.

        Raises:
            UnsupportedError: another device than the CPU.
        """
        check_device(device)
        return self

    def eval(self) -> Sam:
        """Return this model, which cannot be trained."""
        return self

    def forward(self, batched_input: Sequence[SamInput], multimask_output: bool) -> list[SamOutput]:
        """Return the masks of each picture's prompts; pictures of any sizes.

        Raises:
            RequestError: a key that is missing or unknown, or whatever `Segmenter.predict_batch` refuses.
        """
        return [self._answered(index, one, multimask_output) for index, one in enumerate(batched_input)]

    __call__ = forward

    def _answered(self, index: int, given: SamInput, multimask_output: bool) -> SamOutput:
        name = f"batched_input[{index}]"
        unknown = set(given) - set(get_type_hints(SamInput))
        missing = {"image", "original_size"} - set(given)
        if unknown or missing:
            raise RequestError(
                f"{name}: missing {sorted(missing)}, unknown {sorted(unknown)}; "
                f"allowed: {', '.join(get_type_hints(SamInput))}"
            )
        prepared = self.transform.prepared(f"{name} image", given["image"], given["original_size"])
        size = prepared.original_hw
        prompts = check_prompts(
            self.transform.in_picture("point_coords", given.get("point_coords"), size),
            given.get("point_labels"),
            self.transform.in_picture("boxes", given.get("boxes"), size),
            given.get("mask_inputs"),
            original_hw=size,
            rule=self.segmenter.mask_rule,
        )
        picture = self.segmenter.encode_prepared(prepared)
        answer = self.segmenter.decode(picture, prompts, multimask_output=multimask_output)
        masks, ious, low_res = (as_given(part, given["image"]) for part in answer)
        return {"masks": masks, "iou_predictions": ious, "low_res_logits": low_res}


Model = Sam | Segmenter | Path | str


def segmenter_of(model: Model) -> Segmenter:
    """Return the segmenter, opened if a bundle's path was given."""
    if isinstance(model, Sam):
        return model.segmenter
    return model if isinstance(model, Segmenter) else open_bundle(model)


def check_device(device: object) -> None:
    """Refuse every device but the CPU, which is where arrays are.

    Raises:
        UnsupportedError: another device.
    """
    if str(device) != "cpu":
        raise UnsupportedError(
            f"device {device}: allowed: cpu, where arrays are; the device that computes is chosen when a bundle is "
            "opened: open_bundle(BUNDLE, options=EngineOptions(provider=...))"
        )


def _open_sam(name: str, checkpoint: Path | str) -> Sam:
    """Return the model of a bundle, which is given in the checkpoint's place.

    Raises:
        RequestError: the bundle is of another model.
    """
    sam = Sam(checkpoint)
    model = sam.segmenter.embedding_key.model
    if SAM_NAMES[name] not in model:
        raise RequestError(
            f"sam_model_registry[{name!r}]: {checkpoint} is a bundle of {model}; "
            "give one of that model, or take sam_model_registry['default'], which opens any"
        )
    return sam


sam_model_registry: Mapping[str, Callable[[Path | str], Sam]] = {name: partial(_open_sam, name) for name in SAM_NAMES}


def build_sam2(
    config_file: str, ckpt_path: Path | str, device: object = "cpu", *, apply_postprocessing: bool = True
) -> Segmenter:
    """Return the model of a bundle, whose path is given in the checkpoint's place.

    Args:
        config_file: upstream's; its name says which model is meant.
        apply_postprocessing: whether an unstable single mask gives way to the best of three, as the bundle's rule says.

    Raises:
        RequestError: the bundle is of another model.
        UnsupportedError: another device than the CPU.
    """
    check_device(device)
    segmenter = open_bundle(ckpt_path)
    asked, model = _sam2_model(config_file), segmenter.embedding_key.model
    if asked not in model:
        raise RequestError(f"build_sam2: {config_file} is of {asked}, {ckpt_path} is a bundle of {model}; give its own")
    return segmenter if apply_postprocessing else without_fallback(segmenter)


def _sam2_model(config_file: str) -> str:
    """Return the model's name: of `sam2.1_hiera_b+.yaml`, `sam2.1_hiera_base_plus`."""
    family, _, size = Path(config_file).name.removesuffix(".yaml").rpartition("_")
    return f"{family}_{SAM2_SIZES.get(size, size)}".strip("_")


def without_fallback(segmenter: Segmenter) -> Segmenter:
    """Return the same graphs by a rule whose single mask is always the single mask's token."""
    rule = replace(segmenter.mask_rule, stability_fallback=None)
    return Segmenter(segmenter.sessions, segmenter.preprocessing, rule, embedding_key=segmenter.embedding_key)
