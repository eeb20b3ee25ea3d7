"""SAM and SlimSAM against `transformers`, which this project did not write: every kind of prompt, 1e-4."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import pytest
import torch
from torch import Tensor
from transformers import SamConfig, SamMaskDecoderConfig, SamModel, SamPromptEncoderConfig, SamVisionConfig

from sam_export.models import FAMILIES, Component, Variant, components, vit_sam
from sam_export.models import SamModel as OurModel
from sam_export.models.catalog.vit_sam import ROWS, SAM_VIT_B
from sam_export.models.components import normaliser
from sam_export.models.decoder_config import DecoderConfig
from sam_export.models.vit import VitConfig

from .prompt_cases import PromptCase, prompt_cases
from .shrunk import decoder_sizes, shrunk, vision_sizes
from .wheel_source import randomise

MAX_RELATIVE_ERROR = 1e-4

# 10 cells a side: windows of 4 must be filled up to 12. Pruned widths are those of SlimSAM-77, divided by two.
SMALL = VitConfig(48, 3, 4, global_blocks=(1,), image_size=160, window_size=4, out_channels=32)
SLIM = dataclasses.replace(SMALL, width=84, heads=12, mlp_widths=(348,) * 3)
CONFIGS = {"sam": SMALL, "slimsam": SLIM}
CASES = prompt_cases(160, 40)


def small_variant(encoder: VitConfig) -> Variant:
    decoder = DecoderConfig(encoder.embedding_size, encoder.image_size, dim=32, heads=4, mlp_dim=64)
    return shrunk(SAM_VIT_B, encoder, decoder)


def hugging_face(variant: Variant, *, fill: bool = True) -> SamModel:
    encoder, decoder = variant.encoder, variant.decoder
    assert isinstance(encoder, VitConfig)
    vision = SamVisionConfig(**vision_sizes(encoder, decoder))
    prompts = SamPromptEncoderConfig(hidden_size=decoder.dim, image_size=decoder.frame_size)
    masks = SamMaskDecoderConfig(**decoder_sizes(decoder))
    module = SamModel(SamConfig(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=masks))
    if fill:
        randomise(module.requires_grad_(False))
    return module


def ours(variant: Variant, tensors: dict[str, Tensor]) -> tuple[Component, ...]:
    family = FAMILIES[variant.family]
    module = family.build(variant).eval()
    assert family.to_upstream is not None
    module.load_state_dict(family.to_upstream(tensors))
    return components(OurModel(variant, module.requires_grad_(False), "", weights_trained=False))


def normalised(image: Tensor) -> Tensor:
    constants = SAM_VIT_B.preprocessing.normalisation
    return (image - torch.tensor(constants.mean).reshape(3, 1, 1)) / torch.tensor(constants.std).reshape(3, 1, 1)


def relative_error(reference: Tensor, candidate: Tensor) -> float:
    assert reference.shape == candidate.shape
    return float((reference - candidate).abs().max() / reference.abs().max())


def one_by_one(case: PromptCase) -> Iterator[PromptCase]:
    """Yield each prompt as a batch of one: transformers mixes up the masks of several."""
    for index in range(case.batch):
        values = (case.points, case.labels, case.boxes, case.masks)
        yield PromptCase(*(None if value is None else value[index : index + 1] for value in values))


def hugging_face_answer(module: SamModel, embeddings: Tensor, case: PromptCase) -> tuple[Tensor, Tensor]:
    """All four masks and scores: the single one and the three, which it gives apart."""
    outputs = [_answer(module, embeddings, one, many=many) for one in one_by_one(case) for many in (False, True)]
    masks, scores = (torch.cat([output[key] for output in outputs], dim=2) for key in ("pred_masks", "iou_scores"))
    return masks.reshape(-1, 4, *masks.shape[-2:]), scores.reshape(-1, 4)


def _answer(module: SamModel, embeddings: Tensor, case: PromptCase, *, many: bool) -> Mapping[str, Tensor]:
    prompt = {
        "input_points": None if case.points is None else case.points[None],
        "input_labels": None if case.labels is None else case.labels[None],
        "input_boxes": None if case.boxes is None else case.boxes[None],
        "input_masks": case.masks,
    }
    with torch.no_grad():
        answer: Mapping[str, Tensor] = module(image_embeddings=embeddings, multimask_output=many, **prompt)
    return answer


@pytest.fixture(scope="module", params=CONFIGS)
def pair(request: pytest.FixtureRequest) -> tuple[SamModel, tuple[Component, ...]]:
    variant = small_variant(CONFIGS[request.param])
    reference = hugging_face(variant)
    return reference, ours(variant, reference.state_dict())


def picture(side: int) -> Tensor:
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(5)) * 255


def test_image_encoder(pair: tuple[SamModel, tuple[Component, ...]]) -> None:
    reference, (encoder, _) = pair
    image = picture(160)
    with torch.no_grad():
        assert relative_error(reference.get_image_embeddings(normalised(image)), encoder.module(image)) < 1e-5


@pytest.mark.parametrize("name", CASES)
def test_mask_decoder(pair: tuple[SamModel, tuple[Component, ...]], name: str) -> None:
    reference, (_, decoder) = pair
    embeddings = torch.randn(1, 32, 10, 10, generator=torch.Generator().manual_seed(6))
    case = CASES[name]
    masks, scores = hugging_face_answer(reference, embeddings, case)
    with torch.no_grad():
        low_res_masks, iou_predictions = decoder.module(embeddings, *case.feeds((40, 40), padding=case.boxes is None))
    assert relative_error(masks, low_res_masks) < MAX_RELATIVE_ERROR
    assert relative_error(scores, iou_predictions) < MAX_RELATIVE_ERROR


def test_queries_keys_and_values_may_lie_apart(pair: tuple[SamModel, tuple[Component, ...]]) -> None:
    """SlimSAM's own files have them so; those that are upstream's already stay as they are."""
    family = FAMILIES["vit_sam"]
    assert family.to_upstream is not None
    whole = family.to_upstream(pair[0].state_dict())
    apart = {name: tensor for name, tensor in whole.items() if ".qkv." not in name}
    for name in set(whole) - set(apart):
        for part, tensor in zip("qkv", whole[name].chunk(3), strict=True):
            apart[name.replace("qkv", part)] = tensor
    for given in (apart, whole):
        found = family.to_upstream(given)
        assert found.keys() == whole.keys()
        assert all(torch.equal(found[name], whole[name]) for name in whole)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_layout_of_every_row_is_hugging_faces_too(row: Variant) -> None:
    with torch.device("meta"):
        ours, theirs = FAMILIES[row.family].build(row).state_dict(), hugging_face(row, fill=False).state_dict()
    renamed = vit_sam.to_upstream(theirs)
    assert {name: value.shape for name, value in renamed.items()} == {name: ours[name].shape for name in ours}
    buffers = {"prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"}
    assert row.parameters == sum(value.numel() for name, value in ours.items() if name not in buffers)


def test_padding_of_8_bits_is_zero() -> None:
    """What pads, rounded as Core ML's pictures are, normalises to what upstream pads with; other colours do not."""
    constants = SAM_VIT_B.preprocessing.normalisation
    normalise = normaliser(constants)
    mean = torch.tensor(constants.mean).reshape(1, 3, 1, 1)
    image = torch.cat((mean, mean.round(), mean.round() + torch.tensor([1.0, 0, 0]).reshape(1, 3, 1, 1)), dim=3)
    found = normalise(image)
    assert found[..., :2].abs().max() == 0
    assert torch.allclose(found[..., 2:], normalised(image[..., 2:]))
