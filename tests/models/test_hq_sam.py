"""SAM-HQ against its authors' own source: every kind of prompt and answer, 1e-4, and every key.

transformers has its encoder, scores and layout, and these are compared, too; its masks are not upstream's: 5.23 makes
them of the image as it was before the transformer (`SamHQMaskDecoder.forward` drops what the transformer returns).
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator
from functools import partial
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    SamHQConfig,
    SamHQMaskDecoderConfig,
    SamHQModel,
    SamHQPromptEncoderConfig,
    SamHQVisionConfig,
)

from sam_export.models import FAMILIES, SamModel, Variant, components, hf_layout
from sam_export.models.catalog.hq_sam import ROWS, SAM_HQ_VIT_B
from sam_export.models.decoder_config import DecoderConfig
from sam_export.models.loader import layout_of
from sam_export.models.vit import VitConfig

from .prompt_cases import PromptCase, prompt_cases
from .shrunk import decoder_sizes, shrunk, vision_sizes
from .test_vit_sam import MAX_RELATIVE_ERROR, SMALL, normalised, picture, relative_error
from .upstream import timm_helpers
from .wheel_source import importable, randomise, torchvision_shims, unpack

CASES = prompt_cases(160, 40)
# Two blocks over the whole picture: the first one's features are meant.
ENCODER = dataclasses.replace(SMALL, depth=4, global_blocks=(1, 3))


def small_variant() -> Variant:
    return shrunk(SAM_HQ_VIT_B, ENCODER, DecoderConfig(10, 160, dim=32, heads=4, mlp_dim=64))


def hugging_face(encoder: VitConfig, decoder: DecoderConfig) -> SamHQModel:
    vision = SamHQVisionConfig(**vision_sizes(encoder, decoder))
    masks = SamHQMaskDecoderConfig(**decoder_sizes(decoder), vit_dim=encoder.width)
    prompts = SamHQPromptEncoderConfig(hidden_size=decoder.dim, image_size=decoder.frame_size)
    return SamHQModel(SamHQConfig(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=masks))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = unpack("segment-anything-hq==0.3", "segment_anything_hq/", tmp_path_factory.mktemp("wheel"))
    with importable(folder, {**torchvision_shims(), **timm_helpers()}):
        yield


@pytest.fixture(scope="module")
def upstream(wheel: None) -> ModuleType:
    return importlib.import_module("segment_anything_hq.build_sam")


@pytest.fixture(scope="module")
def small(upstream: ModuleType) -> nn.Module:
    """Upstream's modules in the sizes of `small_variant`."""
    encoder = upstream.ImageEncoderViT(
        depth=ENCODER.depth,
        embed_dim=ENCODER.width,
        img_size=160,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        num_heads=ENCODER.heads,
        use_rel_pos=True,
        global_attn_indexes=ENCODER.global_blocks,
        window_size=ENCODER.window_size,
        out_chans=32,
    )
    transformer = upstream.TwoWayTransformer(depth=2, embedding_dim=32, mlp_dim=64, num_heads=4)
    decoder = upstream.MaskDecoderHQ(
        transformer_dim=32, transformer=transformer, iou_head_hidden_dim=32, vit_dim=ENCODER.width
    )
    prompts = upstream.PromptEncoder(
        embed_dim=32, image_embedding_size=(10, 10), input_image_size=(160, 160), mask_in_chans=16
    )
    return randomise(upstream.Sam(encoder, prompts, decoder).requires_grad_(False))


def loaded(variant: Variant, tensors: dict[str, Tensor]) -> SamModel:
    family = FAMILIES[variant.family]
    module = family.build(variant).eval().requires_grad_(False)
    assert family.to_upstream is not None
    module.load_state_dict(family.to_upstream(tensors))
    return SamModel(variant, module, "", weights_trained=False)


@pytest.fixture(scope="module")
def ours(small: nn.Module) -> SamModel:
    return loaded(small_variant(), small.state_dict())


def encoded(model: SamModel, image: Tensor) -> tuple[Tensor, ...]:
    with torch.no_grad():
        outputs: tuple[Tensor, ...] = components(model)[0].module(image)
    return outputs


def answer(small: nn.Module, case: PromptCase, **how: bool) -> tuple[Tensor, Tensor]:
    """Masks [B, 1, h, w] and scores [B, 1] of one kind of answer."""
    points = None if case.points is None else (case.points, case.labels)
    with torch.no_grad():
        embeddings, early = small.image_encoder(normalised(picture(160)))
        sparse, dense = small.prompt_encoder(points, case.boxes, case.masks)
        pe = small.prompt_encoder.get_dense_pe()
        masks, ious = small.mask_decoder(embeddings, pe, sparse, dense, interm_embeddings=early, **how)
    return masks, ious


@pytest.mark.parametrize("name", CASES)
def test_every_answer_is_upstreams(small: nn.Module, ours: SamModel, name: str) -> None:
    """The single mask; of several the one with the best score; the high-quality one alone."""
    case = CASES[name]
    features = encoded(ours, picture(160))
    with torch.no_grad():
        masks, ious = components(ours)[1].module(*features, *case.feeds((40, 40), padding=case.boxes is None))
    assert masks.shape[1] == ious.shape[1] == 5
    rows, best = torch.arange(case.batch)[:, None], 1 + ious[:, 1:4].argmax(dim=1, keepdim=True)
    wanted = (
        (answer(small, case, multimask_output=False, hq_token_only=False), masks[:, :1], ious[:, :1]),
        (answer(small, case, multimask_output=True, hq_token_only=False), masks[rows, best], ious[rows, best]),
        (answer(small, case, multimask_output=False, hq_token_only=True), masks[:, 4:], ious[:, 4:]),
    )
    for (their_masks, their_ious), our_masks, our_ious in wanted:
        assert relative_error(their_masks, our_masks) < MAX_RELATIVE_ERROR
        assert relative_error(their_ious, our_ious) < MAX_RELATIVE_ERROR


def test_hugging_faces_layout_encoder_and_scores() -> None:
    variant, case, image = small_variant(), CASES["box"], picture(160)
    reference = hugging_face(ENCODER, variant.decoder).requires_grad_(False)
    randomise(reference)
    model = loaded(variant, reference.state_dict())
    features = encoded(model, image)
    assert case.boxes is not None
    with torch.no_grad():
        found = reference(pixel_values=normalised(image), input_boxes=case.boxes[None], multimask_output=False)
        _, ious = components(model)[1].module(*features, *case.feeds((40, 40), padding=False))
        embeddings = reference.vision_encoder(normalised(image)).last_hidden_state
    assert relative_error(embeddings, features[0]) < MAX_RELATIVE_ERROR
    assert relative_error(found.iou_scores[0], ious[:, :1]) < MAX_RELATIVE_ERROR


def test_the_early_features_matter(ours: SamModel) -> None:
    embeddings, fine = encoded(ours, picture(160))
    decoder, feeds = components(ours)[1].module, CASES["box"].feeds((40, 40), padding=False)
    with torch.no_grad():
        assert relative_error(decoder(embeddings, fine, *feeds)[0], decoder(embeddings, 0 * fine, *feeds)[0]) > 1e-2


def without_classifier(tensors: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in tensors.items() if not name.startswith(SAM_HQ_VIT_B.unused_keys)}


@pytest.mark.parametrize("row", [row for row in ROWS if row.name != "sam_hq_vit_tiny"], ids=lambda row: row.name)
def test_the_layout_of_every_vit_is_hugging_faces_too(row: Variant) -> None:
    assert isinstance(row.encoder, VitConfig)
    with torch.device("meta"):
        ours, theirs = FAMILIES[row.family].build(row), hugging_face(row.encoder, row.decoder)
    renamed = hf_layout.to_upstream(theirs.state_dict())
    assert layout_of(ours) == {name: value.shape for name, value in renamed.items()}


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_keys_shapes_and_parameters_are_those_of_the_checkpoint(upstream: ModuleType, row: Variant) -> None:
    size = row.name.removeprefix("sam_hq_")
    # Upstream's TinyViT cannot be built without memory.
    with torch.device("cpu" if size == "vit_tiny" else "meta"):
        theirs, ours = upstream.sam_model_registry[size](), FAMILIES[row.family].build(row)
    found = {name: value.shape for name, value in ours.state_dict().items()}
    assert found == without_classifier(theirs.state_dict())
    assert row.parameters == sum(value.numel() for value in ours.parameters())
