"""SAM 2 and EdgeTAM as their own authors wrote them: the source inside a wheel, imported without its extras.

Independent of this project's modules, it is what they are compared with. The wheel is EdgeTAM's, a fork of SAM 2's
repository that holds SAM 2's configurations too; trunk, neck, mask decoder and image predictor are SAM 2's own files,
unchanged. Packages that a forward pass does not need are given here as empty modules, and a configuration is built
by a few lines instead of hydra.
"""

from __future__ import annotations

import importlib
import re
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import torch
import yaml
from torch import nn

from sam_export.models.package_index import Requirement, fetch_wheel

WHEEL = Requirement("edgetam-dimos", "1.0.1", "cddc8aef9c6842205f2092d50f8b1cefcc87ad82a2b17d74edb1add57d5f5030")

# YAML 1.1 takes 1e-6 for a word, hydra does not.
SCIENTIFIC = re.compile(r"\d+(\.\d+)?e-?\d+")

Config = dict[str, Any]


def download(folder: Path) -> Path:
    return fetch_wheel(WHEEL, folder)


def configuration(wheel: Path, name: str) -> Config:
    """Return the model's part of `sam2/configs/<name>.yaml`."""
    with ZipFile(wheel) as archive:
        config: Config = yaml.safe_load(archive.read(f"sam2/configs/{name}.yaml"))["model"]
    return config


def official_name(model: str) -> str:
    """`sam2.1_hiera_tiny` -> `sam2.1/sam2.1_hiera_t`."""
    folder, _, size = model.partition("_hiera_")
    return f"{folder}/{folder}_hiera_{'b+' if size == 'base_plus' else size[0]}"


def build(wheel: Path, config: Config, timm: Callable[..., nn.Module] | None = None) -> nn.Module:
    """Return the model of a configuration, in eval mode.

    Args:
        timm: stands for `timm.models.create_model`.
    """
    with _importable(wheel, timm):
        module: nn.Module = _instance(config)
    return module.eval()


@contextmanager
def image_predictor(wheel: Path, torchvision: Mapping[str, types.ModuleType]) -> Iterator[type[Any]]:
    """Give upstream's class, which imports more when it is called. `torchvision`: modules for its transforms."""
    with pytest.MonkeyPatch.context() as patch, _importable(wheel, None):
        for name, module in torchvision.items():
            patch.setitem(sys.modules, name, module)
        yield importlib.import_module("sam2.sam2_image_predictor").SAM2ImagePredictor


def layout(wheel: Path, config: Config, timm: Callable[..., nn.Module] | None = None) -> dict[str, torch.Size]:
    """Return every tensor's name and shape in a checkpoint of a configuration, without making the tensors."""
    with pytest.MonkeyPatch.context() as patch, torch.device("meta"):
        # Upstream reads the rates of its drop paths back.
        patch.setattr(torch, "linspace", partial(torch.linspace, device="cpu"))
        return {name: tensor.shape for name, tensor in build(wheel, config, timm).state_dict().items()}


def _instance(config: Any) -> Any:
    """Return the object that a configuration describes, hydra's `instantiate` in short."""
    if isinstance(config, list):
        return [_instance(item) for item in config]
    if isinstance(config, str) and SCIENTIFIC.fullmatch(config):
        return float(config)
    if not isinstance(config, Mapping):
        return config
    values = {name: _instance(value) for name, value in config.items() if name != "_target_"}
    if "_target_" not in config:
        return values
    module, _, name = config["_target_"].rpartition(".")
    return getattr(importlib.import_module(module), name)(**values)


def _stand_ins(timm: Callable[..., nn.Module] | None) -> dict[str, types.ModuleType]:
    names = ("hydra", "hydra.core", "hydra.core.global_hydra", "iopath", "iopath.common", "iopath.common.file_io")
    modules = {name: types.ModuleType(name) for name in (*names, "timm", "timm.models")}
    modules["hydra"].__dict__["initialize_config_module"] = lambda *_, **__: None
    modules["hydra.core.global_hydra"].__dict__["GlobalHydra"] = types.SimpleNamespace(
        instance=lambda: types.SimpleNamespace(is_initialized=lambda: True)
    )
    modules["iopath.common.file_io"].__dict__["g_pathmgr"] = None
    modules["timm.models"].__dict__["create_model"] = timm
    return modules


@contextmanager
def _importable(wheel: Path, timm: Callable[..., nn.Module] | None) -> Iterator[None]:
    """`sys.modules` and `sys.path` are left as they were."""
    stand_ins = _stand_ins(timm)
    before = {name: sys.modules.get(name) for name in stand_ins}
    sys.path.insert(0, str(wheel))
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        sys.path.remove(str(wheel))
        for name in [name for name in sys.modules if name == "sam2" or name.startswith("sam2.")]:
            del sys.modules[name]
        for name, module in before.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module
