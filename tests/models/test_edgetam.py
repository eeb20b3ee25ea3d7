"""EdgeTAM, at its full width and depth on few pixels, against its authors' source and transformers, both on timm's."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from transformers import EdgeTamConfig, EdgeTamModel, EdgeTamVisionConfig, PreTrainedConfig
from transformers.models.edgetam import modeling_edgetam

from sam_export.models import FAMILIES, SamModel, Variant, components, plain
from sam_export.models.catalog.edgetam import EDGETAM
from sam_export.models.loader import random_model
from sam_export.models.repvit import RepVit, RepVitConfig
from sam_export.models.repvit_engine import engine_form
from sam_export.models.sam2_layout import to_upstream

from . import sam2_source as source
from . import timm_source
from .prompt_cases import prompt_cases
from .sam2_answers import (
    MAX_RELATIVE_ERROR,
    assert_same,
    hugging_face_answer,
    normalised,
    own_answer,
    picture,
    relative_error,
    upstream_answer,
    upstream_features,
    with_weights_of,
)
from .shrunk import shrunk

pytestmark = pytest.mark.filterwarnings("ignore:.*sdp_kernel:FutureWarning")
SIDE = 256
PROMPTS = prompt_cases(SIDE, SIDE // 4)


def reduced_variant() -> Variant:
    encoder = dataclasses.replace(EDGETAM.encoder, image_size=SIDE)
    return shrunk(EDGETAM, encoder, dataclasses.replace(EDGETAM.decoder, embedding_size=SIDE // 16, frame_size=SIDE))


@pytest.fixture(scope="module")
def timm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return timm_source.download(tmp_path_factory.mktemp("timm"))


@pytest.fixture(scope="module")
def model() -> SamModel:
    variant = reduced_variant()
    return random_model(FAMILIES[variant.family].build(variant), variant, seed=17)


@pytest.fixture(scope="module")
def upstream(wheel: Path, timm: Path, model: SamModel) -> nn.Module:
    config = source.configuration(wheel, "edgetam") | {"image_size": SIDE}
    return with_weights_of(model, source.build(wheel, config, partial(timm_source.create_model, timm)))


@pytest.fixture(scope="module")
def image() -> Tensor:
    return picture(SIDE)


@pytest.fixture(scope="module")
def features(upstream: nn.Module, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return upstream_features(upstream, image)


def test_image_encoder(model: SamModel, image: Tensor, features: tuple[Tensor, ...]) -> None:
    """In the form that is exported, and in the one that the gate's reference runs."""
    encoder, _ = components(model)
    with torch.no_grad():
        exported, named = encoder.module(image), plain(model).encode(normalised(image))
    for spec, expected, found in zip(encoder.contract.outputs, features, exported, strict=True):
        assert list(found.shape) == list(spec.shape)
        assert relative_error(expected, found) < MAX_RELATIVE_ERROR
        assert relative_error(expected, named[spec.name]) < MAX_RELATIVE_ERROR


@pytest.mark.parametrize("name", PROMPTS)
def test_mask_decoder(model: SamModel, upstream: nn.Module, features: tuple[Tensor, ...], name: str) -> None:
    assert_same(upstream_answer(upstream, features, PROMPTS[name]), own_answer(model, features, PROMPTS[name]))


def test_every_key_and_shape_of_the_official_checkpoint(wheel: Path, timm: Path) -> None:
    official = source.layout(wheel, source.configuration(wheel, "edgetam"), partial(timm_source.create_model, timm))
    with torch.device("meta"):
        own = FAMILIES[EDGETAM.family].build(EDGETAM)
    for_pictures = {name: shape for name, shape in official.items() if not name.startswith(EDGETAM.unused_keys)}
    assert {name: tensor.shape for name, tensor in own.state_dict().items()} == for_pictures
    assert sum(parameter.numel() for parameter in own.parameters()) == EDGETAM.parameters


SIZES = {
    "m1": RepVitConfig(channels=(16, 24, 48, 80), depths=(1, 2, 3, 1)),
    "m1_0": RepVitConfig(channels=(16, 24, 48, 80), depths=(1, 2, 3, 1), point_norm=False),
}


@pytest.mark.parametrize("config", SIZES.values(), ids=list(SIZES))
def test_repvit_with_either_kind_of_branches(timm: Path, config: RepVitConfig) -> None:
    own = random_model(RepVit(config), EDGETAM, seed=19).module
    sizes = {"embed_dim": config.channels, "depth": config.depths, "legacy": config.point_norm}
    reference = timm_source.repvit(timm, **sizes).eval()
    reference.load_state_dict(own.state_dict())
    with torch.no_grad():
        stages, plain_stages, one_branch = (module(picture(64) / 255) for module in (reference, own, engine_form(own)))
    for expected, found, folded in zip(stages, plain_stages, one_branch, strict=True):
        assert relative_error(expected, found) < MAX_RELATIVE_ERROR
        assert relative_error(expected, folded) < MAX_RELATIVE_ERROR


class TimmBackbone(nn.Module):
    """transformers' wrapper of a timm model, which does not import without torchvision: its names and its output."""

    def __init__(self, timm_model: nn.Module) -> None:
        super().__init__()
        self.timm_model = timm_model

    def forward(self, pixel_values: Tensor, **_: object) -> SimpleNamespace:
        return SimpleNamespace(last_hidden_state=self.timm_model(pixel_values), hidden_states=None)


class PlaceOfTimm(PreTrainedConfig):
    """Stands for the wrapper's own configuration, which asks for timm to be installed."""

    model_type = "place_of_timm"


@pytest.fixture(scope="module")
def reference(timm: Path) -> EdgeTamModel:
    vision = EdgeTamVisionConfig(
        backbone_config=PlaceOfTimm(),
        backbone_feature_sizes=[[SIDE // stride] * 2 for stride in (4, 8, 16)],
    )
    config = EdgeTamConfig(
        vision_config=vision,
        prompt_encoder_config={"image_size": SIDE},
        mask_decoder_config={"dynamic_multimask_via_stability": False},
    )
    original = modeling_edgetam.AutoModel.from_config
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            modeling_edgetam.AutoModel,
            "from_config",
            lambda part: TimmBackbone(timm_source.repvit(timm)) if isinstance(part, PlaceOfTimm) else original(part),
        )
        module = EdgeTamModel(config).eval()
    return random_model(module, EDGETAM, seed=23).module


@pytest.fixture(scope="module")
def from_hugging_face(reference: EdgeTamModel) -> SamModel:
    variant, tensors = reduced_variant(), reference.state_dict()
    tensors["prompt_encoder.shared_embedding.positional_embedding"].copy_(
        tensors["shared_image_embedding.positional_embedding"]
    )
    module = FAMILIES[variant.family].build(variant)
    module.load_state_dict(to_upstream(tensors))
    return SamModel(variant, module.eval().requires_grad_(False), "0" * 64, weights_trained=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROMPTS)
def test_against_transformers(reference: EdgeTamModel, from_hugging_face: SamModel, image: Tensor, name: str) -> None:
    encoder, _ = components(from_hugging_face)
    with torch.no_grad():
        features = encoder.module(image)
    expected = hugging_face_answer(reference, image, PROMPTS[name])
    assert_same(expected, own_answer(from_hugging_face, features, PROMPTS[name]))
