"""The exported form of SAM's decoder gives what the plain one gives, for every kind of prompt."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sam_export.models.components import MaskDecoderComponent
from sam_export.models.decoder_config import DecoderConfig
from sam_export.models.engine_attention import CellsToTokens, TokensToCells
from sam_export.models.engine_decoder import in_place, out_of_place
from sam_export.models.sam import MaskDecoder, PromptEncoder
from sam_export.models.transformer import Attention

from .wheel_source import randomise

CONFIG = DecoderConfig(embedding_size=6, frame_size=96, dim=32, heads=4, mlp_dim=48)
CELLS = CONFIG.embedding_size**2


def parts() -> tuple[PromptEncoder, MaskDecoder]:
    modules = PromptEncoder(CONFIG).requires_grad_(False), MaskDecoder(CONFIG).requires_grad_(False)
    for module in modules:
        randomise(module)
    return modules


def prompts(batch: int, points: int) -> tuple[Tensor, ...]:
    """An image's embeddings, then points with every label and masks, of which every second one counts."""
    generator = torch.Generator().manual_seed(2)
    coords = torch.rand(batch, points, 2, generator=generator) * CONFIG.frame_size
    labels = torch.randint(-1, 4, (batch, points), generator=generator).float()
    masks = torch.randn(batch, 1, 4 * CONFIG.embedding_size, 4 * CONFIG.embedding_size, generator=generator)
    image = torch.randn(1, CONFIG.dim, CONFIG.embedding_size, CONFIG.embedding_size, generator=generator)
    return image, coords, labels, masks, (torch.arange(batch) % 2).float()


def plain(prompt_encoder: PromptEncoder, decoder: MaskDecoder, given: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    image, coords, labels, masks, present = given
    sparse, dense = prompt_encoder.embed_points(coords, labels), prompt_encoder.embed_masks(masks, present)
    answers: tuple[Tensor, Tensor] = decoder(image, prompt_encoder.pe_layer.dense(), sparse, dense)
    return answers


def relative_error(reference: Tensor, candidate: Tensor) -> float:
    return float((reference - candidate).abs().max() / reference.abs().max())


@pytest.mark.parametrize(("batch", "points"), [(1, 1), (1, 2), (4, 7)])
def test_exported_form_is_exact(batch: int, points: int) -> None:
    prompt_encoder, decoder = parts()
    given = prompts(batch, points)
    with torch.no_grad():
        answers = MaskDecoderComponent(prompt_encoder, decoder)(*given)
        for reference, candidate in zip(plain(prompt_encoder, decoder, given), answers, strict=True):
            assert relative_error(reference, candidate) < 1e-5


@pytest.mark.parametrize(
    "name",
    [
        *(
            f"transformer.layers.1.cross_attn_{way}.{part}"
            for way in ("token_to_image", "image_to_token")
            for part in "qkv"
        ),
        "transformer.layers.1.cross_attn_image_to_token.q_bias",
        "output_upscaling.0",
        "output_upscaling.3",
        "mask_downscaling.0",
        "no_mask_embed",
    ],
)
def test_a_part_that_is_ignored_shows(name: str) -> None:
    component = MaskDecoderComponent(*parts())
    given = prompts(4, 3)
    with torch.no_grad():
        expected = component(*given)[0]
        tensors = {**component.state_dict(keep_vars=True), **dict(component.named_buffers())}
        chosen = [tensor for key, tensor in tensors.items() if name in key]
        assert chosen
        for tensor in chosen:
            tensor.zero_()
        assert relative_error(expected, component(*given)[0]) > 1e-4


@pytest.mark.parametrize("tokens", [1, 5, 40])
def test_attention_is_that_of_its_source(tokens: int) -> None:
    source = Attention(CONFIG.dim, CONFIG.heads, downsample=2).requires_grad_(False)
    randomise(source)
    generator = torch.Generator().manual_seed(3)
    few, many, values = (torch.randn(2, count, CONFIG.dim, generator=generator) for count in (tokens, CELLS, CELLS))
    with torch.no_grad():
        assert relative_error(source(few, many, values), TokensToCells(source)(few, many, values)) < 1e-5
        assert relative_error(source(many, few, few * 2), CellsToTokens(source)(many, few, few * 2)) < 1e-5


def test_pixels_lie_as_transposed_convolutions_lay_them() -> None:
    """Two convolutions that only spread a cell's number: the first times 2, the second plus its row and column."""
    side = CONFIG.embedding_size
    first, second = nn.ConvTranspose2d(1, 1, 2, 2, bias=False), nn.ConvTranspose2d(1, 1, 2, 2, bias=False)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[2.0, 3.0], [5.0, 7.0]]))
        second.weight.copy_(torch.tensor([[11.0, 13.0], [17.0, 19.0]]))
        cells = torch.arange(1.0, CELLS + 1)
        expected = second(first(cells.reshape(1, 1, side, side))).flatten()
    by_cell = cells[:, None, None] * first.weight.detach().reshape(1, 4, 1) * second.weight.detach().reshape(1, 1, 4)
    assert torch.equal(in_place(by_cell, side).flatten(), expected)
    assert torch.equal(out_of_place(expected, side).flatten(), by_cell.flatten())


def test_the_loaded_decoder_is_left_as_it_was() -> None:
    prompt_encoder, decoder = parts()
    before = [type(module) for module in (*prompt_encoder.modules(), *decoder.modules())]
    MaskDecoderComponent(prompt_encoder, decoder)
    assert [type(module) for module in (*prompt_encoder.modules(), *decoder.modules())] == before
