"""MobileSAM and TinySAM: the same sizes, against the TinyViT that their authors' repositories share."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from sam_export.models import FAMILIES, VARIANTS

from .sam_prompts import MAX_RELATIVE_ERROR, relative_error
from .upstream import timm_helpers
from .wheel_source import bare_package, importable, randomise, unpack

pytestmark = pytest.mark.slow
PACKAGE, MODELING = "x_segment_anything", "x_segment_anything.modeling"
ROWS = ("mobile_sam", "tinysam", "tinysam_42.3")


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[nn.Module]:
    folder = unpack("x-segment-anything==0.0.8", f"{PACKAGE}/", tmp_path_factory.mktemp("wheel"))
    bare = bare_package(PACKAGE, folder / PACKAGE) | bare_package(MODELING, folder / PACKAGE / "modeling")
    with importable(folder, {**timm_helpers(), **bare}):
        source = importlib.import_module(f"{MODELING}.tiny_vit_sam")
        model = source.TinyViT(
            img_size=1024,
            embed_dims=[64, 128, 160, 320],
            depths=[2, 2, 6, 2],
            num_heads=[2, 4, 5, 10],
            window_sizes=[7, 7, 14, 7],
            mlp_ratio=4.0,
            drop_path_rate=0.0,
        )
        model.train()  # the attention biases are expanded when it leaves training
        yield randomise(model)


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


def test_image_encoder_at_full_size(upstream: nn.Module) -> None:
    row = VARIANTS["mobile_sam"]
    module = FAMILIES[row.family].build(row).eval()
    weights = {f"image_encoder.{key}": tensor for key, tensor in upstream.state_dict().items()}
    others = {key: tensor for key, tensor in module.state_dict().items() if not key.startswith("image_encoder.")}
    module.load_state_dict(
        others | {key: value for key, value in weights.items() if not key.startswith(row.unused_keys)}
    )
    image = torch.randint(0, 256, (1, 3, 1024, 1024), generator=torch.Generator().manual_seed(1)).float()
    mean, std = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
    with torch.no_grad():
        answer = upstream((image - mean.reshape(3, 1, 1)) / std.reshape(3, 1, 1))
        embeddings = answer[0] if isinstance(answer, tuple) else answer
        candidate = FAMILIES[row.family].components(module, row)[0].module(image)
    assert relative_error(embeddings, candidate) < MAX_RELATIVE_ERROR
