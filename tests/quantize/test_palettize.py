"""Weights from a table: what the table is fitted to, what the assignment loses, and what the layer computes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sam_export.errors import RequestError
from sam_export.quantize.layers import Quantizable
from sam_export.quantize.palettize import (
    COMPRESSION_BUFFER,
    SMALLEST_FACTOR,
    TABLE_BUFFER,
    PalettizedLayer,
    best_table,
    nearest_entries,
    palettize,
    require_palettizable,
    row_factors,
)
from sam_export.quantize.plan import LayerPlan, Rounding


def seeded(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def correlated_gram(size: int) -> Tensor:
    inputs = seeded(1000, size // 4) @ seeded(size // 4, size, seed=1) + 0.1 * seeded(1000, size, seed=2)
    return inputs.T @ inputs


def output_error(weight: Tensor, candidate: Tensor, gram: Tensor) -> float:
    lost = (weight - candidate).double()
    return float(((lost @ gram.double()) * lost).sum())


def test_a_table_finds_the_values_there_are() -> None:
    values = torch.tensor([-2.0, 0.5, 0.5, 1.0, 1.0, 1.0, 3.0, -2.0]).repeat(50)
    assert best_table(values, torch.ones_like(values), 4).tolist() == [-2.0, 0.5, 1.0, 3.0]


def test_a_table_may_be_larger_than_what_it_is_for() -> None:
    values = torch.zeros(10)
    table = best_table(values, torch.ones(10), 16)
    assert torch.isfinite(table).all()
    assert nearest_entries(values, table).tolist() == values.tolist()


def test_a_table_loses_less_than_an_even_grid() -> None:
    values = seeded(20000)
    table = best_table(values, torch.ones_like(values), 16)
    even = torch.linspace(float(values.min()), float(values.max()), 16)
    errors = [float((nearest_entries(values, one) - values).square().mean()) for one in (table, even)]
    # Lloyd and Max: a normal distribution in 16 values loses 0.0095 of its variance.
    assert errors[0] < 0.0105
    assert errors[0] < 0.7 * errors[1]


def test_what_matters_more_is_nearer_to_an_entry() -> None:
    values = seeded(20000)
    important = torch.where(values > 0, 100.0, 1.0)
    errors = (nearest_entries(values, best_table(values, important, 8)) - values).square()
    assert errors[values > 0].mean() < 0.2 * errors[values <= 0].mean()


def test_all_numbers_are_of_fp16() -> None:
    palette = palettize(seeded(24, 32), 4, correlated_gram(32), "gptq")
    for numbers in (palette.table, palette.factors, palette.entries):
        assert torch.equal(numbers.half().float(), numbers)


@pytest.mark.parametrize("rounding", ["nearest", "gptq"])
@pytest.mark.parametrize("bits", [4, 6])
def test_every_entry_is_one_of_the_table(bits: int, rounding: Rounding) -> None:
    palette = palettize(seeded(24, 32), bits, correlated_gram(32), rounding)
    assert palette.table.shape == (2**bits,)
    assert torch.isin(palette.entries, palette.table).all()


@pytest.mark.parametrize("bits", [4, 6])
def test_error_feedback_moves_the_output_less(bits: int) -> None:
    weight, gram = seeded(24, 64), correlated_gram(64)
    nearest, fed_back = (palettize(weight, bits, gram, how) for how in ("nearest", "gptq"))
    assert output_error(weight, fed_back.weight, gram) < 0.7 * output_error(weight, nearest.weight, gram)


def test_rows_of_any_size_share_a_table() -> None:
    """Without a factor for each row, rows a hundred times smaller than others would all be rounded to nothing."""
    weight = seeded(32, 64) * torch.logspace(0, -2, 32)[:, None]
    palette = palettize(weight, 4, torch.eye(64), "nearest")
    lost = (weight - palette.weight).square().mean(1) / weight.square().mean(1)
    assert lost.max() < 0.03


def test_factors_are_at_most_one_and_never_vanish() -> None:
    factors = row_factors(torch.tensor([[2.0, -8.0], [1.0, 0.5], [0.0, 0.0]]))
    assert factors.tolist() == [1.0, 0.125, SMALLEST_FACTOR]
    assert torch.isfinite(row_factors(torch.zeros(3, 4))).all()


@pytest.mark.parametrize(
    ("source", "shape"),
    [
        pytest.param(nn.Linear(16, 8), (2, 5, 16), id="linear"),
        pytest.param(nn.Linear(16, 8, bias=False), (2, 5, 16), id="no-bias"),
        pytest.param(nn.Conv2d(4, 8, 3, stride=2, padding=1), (1, 4, 9, 9), id="convolution"),
    ],
)
def test_the_layer_computes_with_the_palettes_weight(source: Quantizable, shape: tuple[int, ...]) -> None:
    with torch.no_grad():
        flat = source.weight.flatten(1)
        palette = palettize(flat, 6, torch.eye(flat.shape[1]), "nearest")
        x, layer = seeded(*shape), PalettizedLayer(source, palette, source.bias)
        source.weight.copy_(palette.weight.reshape(source.weight.shape))
        torch.testing.assert_close(layer(x), source(x), rtol=1e-5, atol=1e-5)


def test_the_layer_says_how_its_weight_is_stored() -> None:
    source = nn.Conv2d(4, 8, 1)
    state = PalettizedLayer(source, palettize(source.weight.flatten(1), 4, torch.eye(4), "nearest"), None).state_dict()
    assert state[TABLE_BUFFER].shape == (1, 1, 1, 1, 16, 1)
    assert state[COMPRESSION_BUFFER].tolist() == [2]


@pytest.mark.parametrize(
    ("layer", "plan", "reason"),
    [
        (nn.Conv2d(8, 8, 3, groups=8), LayerPlan("one", "lut4"), "is depthwise"),
        (nn.Linear(8, 8), LayerPlan("one", "lut6", inputs="uint8"), "input or output in 8 bits"),
        (nn.Linear(8, 8), LayerPlan("one", "lut6", outputs="uint8"), "input or output in 8 bits"),
    ],
)
def test_a_plan_that_cannot_be_followed_is_refused(layer: Quantizable, plan: LayerPlan, reason: str) -> None:
    with pytest.raises(RequestError, match=rf"one: lut. is asked for, but the layer .*{reason}.*int8"):
        require_palettizable(layer, plan)
