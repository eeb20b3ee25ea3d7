"""SAM 2 against its authors' own source and against transformers: every kind of prompt, 1e-4, and every key."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import Sam2Config, Sam2HieraDetConfig, Sam2Model, Sam2VisionConfig

from sam_export.models import FAMILIES, SamModel, Variant, components, plain
from sam_export.models.catalog import VARIANTS
from sam_export.models.catalog.sam2 import BASE_PLUS, LARGE, ROWS, SAM2_1_HIERA_TINY, TINY
from sam_export.models.hiera import HieraConfig
from sam_export.models.loader import layout_of, random_model
from sam_export.models.sam2_layout import to_upstream
from sam_export.runtimes.mask_choice import answering_tokens

from . import sam2_source as source
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

# Upstream chooses its attention kernels in a way that torch wants to give up.
pytestmark = pytest.mark.filterwarnings("ignore:.*sdp_kernel:FutureWarning")
SIDE = 256
PROMPTS = prompt_cases(SIDE, SIDE // 4)

# Every width, window and padding of the real ones, fewer blocks and pixels: at 256 pixels windows of 14 and 7 are
# padded, too.
SIZES = {
    "tiny": dataclasses.replace(TINY, stages=(1, 2, 3, 2), global_blocks=(4,)),
    "base_plus": dataclasses.replace(BASE_PLUS, stages=(1, 2, 2, 2), global_blocks=(4,)),
    "large": dataclasses.replace(LARGE, stages=(1, 2, 2, 1), global_blocks=(4,)),
}


def reduced_variant(encoder: HieraConfig, *, image_size: int = SIDE) -> Variant:
    row = SAM2_1_HIERA_TINY
    decoder = dataclasses.replace(row.decoder, embedding_size=image_size // 16, frame_size=image_size)
    return shrunk(row, dataclasses.replace(encoder, image_size=image_size), decoder)


@pytest.fixture(scope="module", params=SIZES.values(), ids=list(SIZES))
def model(request: pytest.FixtureRequest) -> SamModel:
    variant = reduced_variant(request.param)
    return random_model(FAMILIES[variant.family].build(variant), variant, seed=11)


def upstream_config(wheel: Path, variant: Variant) -> source.Config:
    """The tiny model's configuration with the sizes of a variant, and with the fallback of `build_sam2`."""
    config, encoder = source.configuration(wheel, "sam2.1/sam2.1_hiera_t"), variant.encoder
    assert isinstance(encoder, HieraConfig)
    config["image_encoder"]["trunk"] |= {
        "embed_dim": encoder.embed_dim,
        "num_heads": encoder.heads,
        "stages": list(encoder.stages),
        "global_att_blocks": list(encoder.global_blocks),
        "window_pos_embed_bkg_spatial_size": [encoder.background] * 2,
        "window_spec": list(encoder.windows),
    }
    config["image_encoder"]["neck"]["backbone_channel_list"] = list(reversed(encoder.channels))
    return config | {
        "image_size": encoder.image_size,
        "sam_mask_decoder_extra_args": {"dynamic_multimask_via_stability": True},
    }


@pytest.fixture(scope="module")
def upstream(wheel: Path, model: SamModel) -> nn.Module:
    return with_weights_of(model, source.build(wheel, upstream_config(wheel, model.variant)))


@pytest.fixture(scope="module")
def image() -> Tensor:
    return picture(SIDE)


@pytest.fixture(scope="module")
def features(upstream: nn.Module, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return upstream_features(upstream, image)


@pytest.mark.slow
def test_image_encoder(model: SamModel, image: Tensor, features: tuple[Tensor, ...]) -> None:
    encoder, _ = components(model)
    with torch.no_grad():
        found = encoder.module(image)
    assert [relative_error(one, other) < MAX_RELATIVE_ERROR for one, other in zip(features, found, strict=True)] == [
        True
    ] * 3
    assert [list(one.shape) for one in found] == [list(spec.shape) for spec in encoder.contract.outputs]


def test_the_reference_of_the_gate(model: SamModel, image: Tensor, features: tuple[Tensor, ...]) -> None:
    with torch.no_grad():
        found = plain(model).encode(normalised(image))
    names = ("image_embeddings", "high_res_feats_0", "high_res_feats_1")
    assert all(relative_error(one, found[name]) < MAX_RELATIVE_ERROR for one, name in zip(features, names, strict=True))


@pytest.mark.parametrize("name", PROMPTS)
def test_mask_decoder(model: SamModel, upstream: nn.Module, features: tuple[Tensor, ...], name: str) -> None:
    assert_same(upstream_answer(upstream, features, PROMPTS[name]), own_answer(model, features, PROMPTS[name]))


def test_a_missing_padding_point_is_noticed(model: SamModel, upstream: nn.Module, features: tuple[Tensor, ...]) -> None:
    case = PROMPTS["box"]
    _, decoder = components(model)
    with torch.no_grad():
        masks, _, _ = decoder.module(*features, *case.feeds(model.variant.mask_rule.mask_hw, padding=False))
    assert relative_error(upstream_answer(upstream, features, case).masks, masks) > MAX_RELATIVE_ERROR


@pytest.mark.parametrize(("scale", "stable"), [(1e-4, False), (1e4, True)], ids=["unstable", "stable"])
def test_the_fallback_chooses_as_upstream(
    model: SamModel, upstream: nn.Module, features: tuple[Tensor, ...], scale: float, stable: bool
) -> None:
    """Where all logits lie between the two thresholds, none of the mask is stable."""
    answer = own_answer(model, features, PROMPTS["three_boxes"])
    masks = answer.masks * scale
    with torch.no_grad():
        _, chosen = upstream.sam_mask_decoder._dynamic_multimask_via_stability(masks, answer.ious)
    tokens = answering_tokens(masks.numpy(), answer.ious.numpy(), model.variant.mask_rule, multimask_output=False)
    assert answer.ious.gather(1, torch.from_numpy(tokens)).tolist() == chosen.tolist()
    assert (tokens == 0).tolist() == [[stable]] * 3


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_key_and_shape_of_the_official_checkpoint(wheel: Path, row: Variant) -> None:
    official = source.layout(wheel, source.configuration(wheel, source.official_name(row.name)))
    with torch.device("meta"):
        own = FAMILIES[row.family].build(row)
    for_pictures = {name: shape for name, shape in official.items() if not name.startswith(row.unused_keys)}
    assert {name: tensor.shape for name, tensor in own.state_dict().items()} == for_pictures
    assert sum(parameter.numel() for parameter in own.parameters()) == row.parameters


def test_the_rows_are_listed() -> None:
    assert {row.name for row in ROWS} <= set(VARIANTS)


def hugging_face(encoder: HieraConfig) -> Sam2Model:
    """transformers' model of the same sizes, without the fallback, so that every token can be asked for."""
    side, heads = encoder.image_size, encoder.heads
    backbone = Sam2HieraDetConfig(
        hidden_size=encoder.embed_dim,
        num_attention_heads=heads,
        image_size=[side, side],
        window_positional_embedding_background_size=[encoder.background] * 2,
        blocks_per_stage=list(encoder.stages),
        embed_dim_per_stage=list(encoder.channels),
        num_attention_heads_per_stage=[heads * 2**stage for stage in range(4)],
        window_size_per_stage=list(encoder.windows),
        global_attention_blocks=list(encoder.global_blocks),
    )
    vision = Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=list(reversed(encoder.channels)),
        backbone_feature_sizes=[[side // stride] * 2 for stride in (4, 8, 16)],
    )
    config = Sam2Config(
        vision_config=vision,
        prompt_encoder_config={"image_size": side},
        mask_decoder_config={"dynamic_multimask_via_stability": False},
    )
    return Sam2Model(config).eval()


@pytest.fixture(scope="module")
def reference() -> Sam2Model:
    return random_model(hugging_face(reduced_variant(SIZES["tiny"]).encoder), SAM2_1_HIERA_TINY, seed=13).module


@pytest.fixture(scope="module")
def from_hugging_face(reference: Sam2Model) -> SamModel:
    """transformers holds the positions of points twice; its files hold them once."""
    variant = reduced_variant(SIZES["tiny"])
    tensors = reference.state_dict()
    tensors["prompt_encoder.shared_embedding.positional_embedding"].copy_(
        tensors["shared_image_embedding.positional_embedding"]
    )
    module = FAMILIES[variant.family].build(variant)
    module.load_state_dict(to_upstream(tensors))
    return SamModel(variant, module.eval().requires_grad_(False), "0" * 64, weights_trained=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROMPTS)
def test_against_transformers(reference: Sam2Model, from_hugging_face: SamModel, image: Tensor, name: str) -> None:
    encoder, _ = components(from_hugging_face)
    with torch.no_grad():
        features = encoder.module(image)
    expected = hugging_face_answer(reference, image, PROMPTS[name])
    assert_same(expected, own_answer(from_hugging_face, features, PROMPTS[name]))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_layout_of_every_row_is_hugging_faces_too(row: Variant) -> None:
    assert isinstance(row.encoder, HieraConfig)
    with torch.device("meta"):
        ours, theirs = FAMILIES[row.family].build(row), hugging_face(row.encoder)
    renamed = to_upstream(theirs.state_dict())
    assert layout_of(ours) == {name: value.shape for name, value in renamed.items()}


def test_a_layout_that_is_upstreams_already_stays(model: SamModel) -> None:
    tensors = model.module.state_dict()
    assert list(to_upstream(tensors)) == list(tensors)
