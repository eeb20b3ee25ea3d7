"""Plain functions in place of the few that upstream packages import from torchvision and timm.

torchvision's binary must match torch's, and where it does not, neither it nor timm can be imported. Nothing that is
timed or compared goes through these but what is said here to be the same.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Mapping

import torch
from PIL import Image
from torch import Tensor, nn


def batched_nms(boxes: Tensor, scores: Tensor, idxs: Tensor, iou_threshold: float) -> Tensor:
    """Return the indices of the boxes that stay, the best first. All are of one class here."""
    assert not idxs.any()
    order = scores.argsort(descending=True, stable=True)
    areas, kept = box_area(boxes), []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(best)
        overlap = torch.minimum(boxes[best, 2:], boxes[rest, 2:]) - torch.maximum(boxes[best, :2], boxes[rest, :2])
        overlap = overlap.clamp(min=0).prod(dim=1)
        order = rest[~(overlap / (areas[best] + areas[rest] - overlap) > iou_threshold)]
    return torch.stack(kept) if kept else torch.zeros(0, dtype=torch.int64)


def box_area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def resize(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return what torchvision's `resize` gives: it calls Pillow, too."""
    return image.resize(size[::-1], Image.Resampling.BILINEAR)


class DropPath(nn.Identity):
    """timm's, as it is in inference."""

    def __init__(self, drop_prob: float = 0.0) -> None:
        super().__init__()
        self.drop_prob = drop_prob


def to_2tuple(value: object) -> object:
    return value if isinstance(value, tuple) else (value, value)


def register_model(function: Callable[..., object]) -> Callable[..., object]:
    return function


TORCHVISION: Mapping[str, Mapping[str, object]] = {
    "torchvision": {},
    "torchvision.ops": {},
    "torchvision.ops.boxes": {"batched_nms": batched_nms, "box_area": box_area},
    "torchvision.transforms": {},
    "torchvision.transforms.functional": {"resize": resize, "to_pil_image": Image.fromarray},
}
LAYERS = {"DropPath": DropPath, "to_2tuple": to_2tuple, "trunc_normal_": nn.init.trunc_normal_}
TIMM: Mapping[str, Mapping[str, object]] = {
    "timm": {},
    "timm.models": {},
    "timm.models.layers": LAYERS,
    "timm.models.registry": {"register_model": register_model},
}


def provide(package: str, contents: Mapping[str, Mapping[str, object]]) -> str:
    """Return which package is used: its own version, or that its functions are replaced."""
    try:
        module = __import__(package)
    except (ImportError, RuntimeError):
        for name in [name for name in sys.modules if name.split(".")[0] == package]:
            del sys.modules[name]
    else:
        return str(module.__version__)
    for name, functions in contents.items():
        stand_in = types.ModuleType(name)
        vars(stand_in).update(functions)
        sys.modules[name] = stand_in
    return "replaced by plain functions"
