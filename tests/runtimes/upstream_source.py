"""Upstream's own predictors and mask generators, from its package, over the weights of this project's models.

What they import and is not installed is replaced: torchvision by the functions that the benchmark's peer uses, OpenCV
by the one call that removes small regions.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np
from scipy import ndimage
from torch import Tensor, nn

from sam_export.benchmarks.peer_environment import PEERS
from sam_export.models import SamModel

from ..models.wheel_source import importable, shim, unpack


@contextmanager
def segment_anything(folder: Path) -> Iterator[ModuleType]:
    """The package segment-anything, unpacked into the folder; usable within."""
    unpack("segment-anything==1.0", "segment_anything/", folder)
    with importable(folder, {**torchvision_functions(), **shim("cv2", connectedComponentsWithStats=regions)}):
        yield importlib.import_module("segment_anything")


def torchvision_functions() -> dict[str, ModuleType]:
    spec = importlib.util.spec_from_file_location("stand_ins", PEERS / "stand_ins.py")
    assert spec is not None
    assert spec.loader is not None
    stand_ins = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(stand_ins)
    shims: dict[str, ModuleType] = {}
    for name, functions in stand_ins.TORCHVISION.items():
        shims |= shim(name, **functions)
    return shims


def regions(mask: np.ndarray, connectivity: int) -> tuple[int, np.ndarray, np.ndarray, None]:
    """OpenCV's call: how many labels, the labels [H, W], and a row for each whose last column is its area."""
    assert connectivity == 8
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    return count + 1, labels, np.bincount(labels.ravel(), minlength=count + 1)[:, np.newaxis], None


class SizedEncoder(nn.Module):
    """An image encoder with the attribute that upstream reads."""

    def __init__(self, encoder: nn.Module, side: int) -> None:
        super().__init__()
        self.encoder, self.img_size = encoder, side

    def forward(self, image: Tensor) -> Tensor:
        embeddings: Tensor = self.encoder(image)
        return embeddings


def upstream_sam(package: ModuleType, model: SamModel) -> nn.Module:
    """Return upstream's `Sam` with the model's weights; it normalises by mean and deviation."""
    modeling = importlib.import_module(f"{package.__name__}.modeling")
    sizes, norm = model.variant.decoder, model.variant.preprocessing.normalisation
    side, cells = (sizes.frame_size, sizes.frame_size), (sizes.embedding_size, sizes.embedding_size)
    prompt_encoder = modeling.PromptEncoder(sizes.dim, cells, side, sizes.mask_channels)
    transformer = modeling.TwoWayTransformer(sizes.depth, sizes.dim, sizes.heads, sizes.mlp_dim)
    mask_decoder = modeling.MaskDecoder(
        transformer_dim=sizes.dim, transformer=transformer, iou_head_depth=3, iou_head_hidden_dim=sizes.dim
    )
    for name, part in (("prompt_encoder", prompt_encoder), ("mask_decoder", mask_decoder)):
        part.load_state_dict(model.module.get_submodule(name).state_dict())
    encoder = SizedEncoder(model.module.get_submodule("image_encoder"), sizes.frame_size)
    sam: nn.Module = modeling.Sam(encoder, prompt_encoder, mask_decoder, list(norm.mean), list(norm.std))
    return sam.eval()
