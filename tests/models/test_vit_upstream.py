"""Meta's own source: the key layout of every size, and its numbers at the full size of the smallest."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from types import ModuleType

import pytest
import torch

from sam_export.models import FAMILIES, SamModel, components
from sam_export.models.catalog.vit_sam import SAM_VIT_B, SAM_VIT_H, SAM_VIT_L

from .test_vit_sam import MAX_RELATIVE_ERROR, relative_error
from .wheel_source import importable, randomise, torchvision_shims, unpack

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


def test_image_encoder_at_full_size(meta: ModuleType) -> None:
    variant = SAM_VIT_B
    upstream = randomise(meta.sam_model_registry["vit_b"]().requires_grad_(False))
    module = FAMILIES[variant.family].build(variant)
    module.load_state_dict(upstream.state_dict(), assign=True)
    encoder, _ = components(SamModel(variant, module.requires_grad_(False), "", weights_trained=False))
    image = torch.rand(1, 3, 1024, 1024, generator=torch.Generator().manual_seed(5)) * 255
    with torch.no_grad():
        embeddings = upstream.image_encoder(upstream.preprocess(image))
        assert relative_error(embeddings, encoder.module(image)) < MAX_RELATIVE_ERROR
