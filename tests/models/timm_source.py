"""timm's RepViT: the source inside timm's wheel, imported without the rest of it, which needs torchvision."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from torch import nn

from .wheel_source import importable, shim, unpack

REQUIREMENT = "timm==1.0.31"


def download(folder: Path) -> Path:
    """Return the folder that holds the package `timm`."""
    return unpack(REQUIREMENT, "timm/", folder)


def repvit(folder: Path, *, out_indices: Sequence[int] = (0, 1, 2, 3), **sizes: object) -> nn.Module:
    """Return `repvit_m1` as `create_model` gives it with `features_only`, or one of other sizes, untrained.

    A module's own `__init__` would import every model and the readers of data sets; it is left out.
    """
    mean_std = {"IMAGENET_DEFAULT_MEAN": (0.485, 0.456, 0.406), "IMAGENET_DEFAULT_STD": (0.229, 0.224, 0.225)}
    norm = shim("torchvision.ops.misc", FrozenBatchNorm2d=nn.BatchNorm2d)
    shims = {**_package(folder, "timm"), **_package(folder, "timm.models"), **shim("timm.data", **mean_std)}
    shims |= {**shim("torchvision"), **shim("torchvision.ops"), **norm}
    with importable(folder, shims):
        source = importlib.import_module("timm.models.repvit")
        module: nn.Module = source.repvit_m1(features_only=True, out_indices=tuple(out_indices), **sizes)
    return module


def _package(folder: Path, name: str) -> dict[str, ModuleType]:
    return shim(name, __path__=[str(folder.joinpath(*name.split(".")))], __version__="1.0.31")
