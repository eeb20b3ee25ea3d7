"""Meta's own source: the key layout of every size."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from types import ModuleType

import pytest
import torch

from sam_export.models import FAMILIES
from sam_export.models.catalog.vit_sam import SAM_VIT_B, SAM_VIT_H, SAM_VIT_L

from .wheel_source import importable, torchvision_shims, unpack

pytestmark = pytest.mark.slow
BUILDERS = {"vit_b": SAM_VIT_B, "vit_l": SAM_VIT_L, "vit_h": SAM_VIT_H}


@pytest.fixture(scope="module")
def meta(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    folder = unpack("segment-anything==1.0", "segment_anything/", tmp_path_factory.mktemp("wheel"))
    with importable(folder, torchvision_shims()):
        yield importlib.import_module("segment_anything.build_sam")


@pytest.mark.parametrize("name", BUILDERS)
def test_keys_shapes_and_parameters_are_those_of_the_checkpoint(meta: ModuleType, name: str) -> None:
    variant = BUILDERS[name]
    with torch.device("meta"):
        upstream, ours = meta.sam_model_registry[name](), FAMILIES[variant.family].build(variant)
    shapes = [{key: value.shape for key, value in module.state_dict().items()} for module in (upstream, ours)]
    assert shapes[0] == shapes[1]
    assert sum(value.numel() for value in upstream.parameters()) == variant.parameters
