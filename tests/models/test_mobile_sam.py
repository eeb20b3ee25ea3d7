"""MobileSAM and TinySAM: the same sizes, against the TinyViT that their authors' repositories share."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from sam_export.models import FAMILIES, VARIANTS

from .upstream import timm_helpers
from .wheel_source import bare_package, importable, randomise, unpack

pytestmark = pytest.mark.slow
PACKAGE, MODELING = "x_segment_anything", "x_segment_anything.modeling"
ROWS = ("mobile_sam", "tinysam", "tinysam_42.3")


def tiny_vit(modeling: str) -> nn.Module:
    """Return MobileSAM's encoder; attention biases are expanded when it leaves training."""
    module: nn.Module = importlib.import_module(f"{modeling}.tiny_vit_sam").TinyViT(
        img_size=1024,
        embed_dims=[64, 128, 160, 320],
        depths=[2, 2, 6, 2],
        num_heads=[2, 4, 5, 10],
        window_sizes=[7, 7, 14, 7],
        mlp_ratio=4.0,
        drop_path_rate=0.0,
    )
    return module


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[nn.Module]:
    folder = unpack("x-segment-anything==0.0.8", f"{PACKAGE}/", tmp_path_factory.mktemp("wheel"))
    bare = bare_package(PACKAGE, folder / PACKAGE) | bare_package(MODELING, folder / PACKAGE / "modeling")
    with importable(folder, {**timm_helpers(), **bare}):
        yield randomise(tiny_vit(MODELING).train())


@pytest.mark.parametrize("name", ROWS)
def test_keys_and_shapes_are_upstreams(upstream: nn.Module, name: str) -> None:
    row = VARIANTS[name]
    with torch.device("meta"):
        found = FAMILIES[row.family].build(row)
    expected = {f"image_encoder.{key}": tensor.shape for key, tensor in upstream.state_dict().items()}
    needed = {key: shape for key, shape in expected.items() if not key.startswith(row.unused_keys)}
    shapes = {key: tensor.shape for key, tensor in found.state_dict().items() if key.startswith("image_encoder.")}
    assert shapes == needed
    assert sum(parameter.numel() for parameter in found.parameters()) == row.parameters
