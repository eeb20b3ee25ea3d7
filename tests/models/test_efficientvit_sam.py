"""EfficientViT-SAM against its authors' source, inside a wheel on the package index."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType

import pytest
import torch
from torch import nn

from sam_export.models import FAMILIES, VARIANTS, Component, Variant
from sam_export.models.efficientvit import EfficientVitConfig

from .sam_prompts import KINDS, MAX_RELATIVE_ERROR, asked, decoder_error, relative_error
from .wheel_source import efficientvit_shims, importable, randomise, unpack

pytestmark = pytest.mark.slow
ROWS = [name for name, row in VARIANTS.items() if row.family == "efficientvit_sam"]
SIDE, CELLS = 128, 64
# Attention on 64 cells is linear upstream, on 16 quadratic with the same answer: heads have 16 channels.
LARGE = EfficientVitConfig(
    image_size=SIDE, depths=(1, 1, 2, 1, 2), head_depth=2, widths=(8, 16, 32, 48, 64), head_dim=16, head_width=32
)
EXTRA_LARGE = EfficientVitConfig(
    image_size=SIDE,
    depths=(0, 1, 1, 1, 2, 1),
    head_depth=1,
    widths=(8, 16, 16, 32, 48, 64),
    blocks=("res", "fmb", "fmb", "fmb", "att3", "att3"),
    expansions=(1, 4, 4, 4, 4, 6),
    fewer_norms=(False, False, False, False, True, True),
    head_dim=16,
    head_width=32,
    head_expansion=4,
)
CONFIGS = {"large": LARGE, "extra large": EXTRA_LARGE}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    folder = unpack("efficientsam==1.0.0", "efficientsam/", tmp_path_factory.mktemp("wheel"))
    with importable(folder, efficientvit_shims()):
        yield importlib.import_module("efficientsam.models.efficientvit")


def narrow_upstream(source: ModuleType, config: EfficientVitConfig) -> nn.Module:
    kinds = [kind.replace("att3", "att@3").replace("att5", "att") for kind in config.blocks]
    backbone = source.EfficientViTLargeBackbone(
        list(config.widths),
        list(config.depths),
        kinds,
        list(config.expansions),
        list(config.fewer_norms),
        qkv_dim=config.head_dim,
    )
    last = len(config.widths) - 1
    neck = source.SamNeck(
        [f"stage{last - index}" for index in range(3)],
        list(config.widths[: -3 - 1 : -1]),
        config.head_width,
        config.head_depth,
        config.head_expansion,
        "fmb",
    )
    model = source.sam.build_efficientvit_sam(source.EfficientViTSamImageEncoder(backbone, neck), SIDE)
    norms = importlib.import_module("efficientsam.models.nn.norm")
    norms.set_norm_eps(model, 1e-6)
    return randomise(model)


def narrow(config: EfficientVitConfig) -> Variant:
    row = VARIANTS["efficientvit_sam_l0"]
    return replace(row, encoder=config, preprocessing=replace(row.preprocessing, image_hw=(SIDE, SIDE)))


def parts_of(upstream: nn.Module, variant: Variant) -> tuple[Component, ...]:
    module = FAMILIES[variant.family].build(variant).eval()
    module.load_state_dict(upstream.state_dict())
    return FAMILIES[variant.family].components(module, variant)


def picture(side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A picture in 0..255, and normalised as upstream's predictor does."""
    image = torch.randint(0, 256, (1, 3, side, side), generator=torch.Generator().manual_seed(1)).float()
    mean, std = torch.tensor([123.675, 116.28, 103.53]) / 255, torch.tensor([58.395, 57.12, 57.375]) / 255
    return image, (image / 255 - mean.reshape(3, 1, 1)) / std.reshape(3, 1, 1)


@pytest.mark.parametrize("name", CONFIGS)
def test_image_encoder(source: ModuleType, name: str) -> None:
    upstream = narrow_upstream(source, CONFIGS[name])
    image, normalised = picture(SIDE)
    with torch.no_grad():
        embeddings = upstream.image_encoder(normalised)
        candidate = parts_of(upstream, narrow(CONFIGS[name]))[0].module(image)
    assert relative_error(embeddings, candidate) < MAX_RELATIVE_ERROR


@pytest.fixture(scope="module", params=CONFIGS)
def pair(source: ModuleType, request: pytest.FixtureRequest) -> tuple[nn.Module, tuple[Component, ...]]:
    config = CONFIGS[request.param]
    upstream = narrow_upstream(source, config)
    return upstream, parts_of(upstream, narrow(config))


@pytest.mark.parametrize("kind", KINDS)
def test_mask_decoder(pair: tuple[nn.Module, tuple[Component, ...]], kind: str) -> None:
    upstream, parts = pair
    embeddings = torch.randn(1, 256, CELLS, CELLS, generator=torch.Generator().manual_seed(2))
    assert decoder_error(upstream, parts[1], embeddings, asked(kind, 1024, 256)) < MAX_RELATIVE_ERROR


@pytest.mark.parametrize("name", ROWS)
def test_keys_and_shapes_are_upstreams(source: ModuleType, name: str) -> None:
    with torch.device("meta"):
        expected = getattr(source, name)()
        found = FAMILIES["efficientvit_sam"].build(VARIANTS[name])
    shapes = {key: tensor.shape for key, tensor in expected.state_dict().items()}
    assert {key: tensor.shape for key, tensor in found.state_dict().items()} == shapes
    assert sum(parameter.numel() for parameter in expected.parameters()) == VARIANTS[name].parameters
    assert expected.image_size == (1024, VARIANTS[name].preprocessing.image_hw[0])
