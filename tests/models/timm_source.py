"""timm's RepViT and its layers: the source inside timm's wheel, imported without what needs torchvision."""

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
    with importable(folder, _shims(folder)):
        source = importlib.import_module("timm.models.repvit")
        module: nn.Module = source.repvit_m1(features_only=True, out_indices=tuple(out_indices), **sizes)
    return module


def squeeze_excite(folder: Path) -> type[nn.Module]:
    """Return the layer that RepViT-SAM and EdgeSAM take from timm."""
    with importable(folder, _shims(folder)):
        layer: type[nn.Module] = importlib.import_module("timm.layers").SqueezeExcite
    return layer


def create_model(
    folder: Path, name: str, *, features_only: bool, out_indices: tuple[int, ...], **_: object
) -> nn.Module:
    """timm's own function of that name, for the one model that EdgeTAM asks for, without the pre-trained weights."""
    assert name == "repvit_m1.dist_in1k"
    assert features_only
    return repvit(folder, out_indices=out_indices)


def _shims(folder: Path) -> dict[str, ModuleType]:
    mean_std = {"IMAGENET_DEFAULT_MEAN": (0.485, 0.456, 0.406), "IMAGENET_DEFAULT_STD": (0.229, 0.224, 0.225)}
    norm = shim("torchvision.ops.misc", FrozenBatchNorm2d=nn.BatchNorm2d)
    packages = {**_package(folder, "timm"), **_package(folder, "timm.models"), **shim("timm.data", **mean_std)}
    return {**packages, **shim("torchvision"), **shim("torchvision.ops"), **norm}


def _package(folder: Path, name: str) -> dict[str, ModuleType]:
    return shim(name, __path__=[str(folder.joinpath(*name.split(".")))], __version__="1.0.31")
