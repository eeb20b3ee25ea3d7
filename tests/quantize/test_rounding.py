"""GPTQ rounds onto the grid, and moves a layer's output less than rounding to the nearest does."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sam_export.quantize.grids import weight_grid
from sam_export.quantize.rounding import BLOCK, round_gptq


def correlated(rows: int, size: int, *, groups: int = 1) -> Tensor:
    """Return inputs [groups, rows, size] whose channels follow a few hidden ones, as activations do."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(groups, rows, max(2, size // 4), generator=generator)
    mixing = torch.randn(groups, hidden.shape[-1], size, generator=generator)
    return hidden @ mixing + 0.1 * torch.randn(groups, rows, size, generator=generator)


@pytest.mark.parametrize("size", [16, BLOCK, 2 * BLOCK + 5])
@pytest.mark.parametrize("bits", [8, 4])
def test_the_output_moves_less_than_with_nearest(size: int, bits: int) -> None:
    (inputs,) = correlated(1000, size)
    weight = torch.randn(24, size, generator=torch.Generator().manual_seed(1))
    grid = weight_grid(weight, bits)
    rounded = round_gptq(weight, grid, inputs.T @ inputs)

    def error(candidate: Tensor) -> float:
        return float((inputs @ (candidate - weight).T).square().mean())

    assert error(rounded) < 0.7 * error(grid.round(weight))


def test_every_weight_lies_on_the_grid() -> None:
    (inputs,) = correlated(500, 40)
    weight = torch.randn(8, 40, generator=torch.Generator().manual_seed(2))
    grid = weight_grid(weight, 8)
    rounded = round_gptq(weight, grid, inputs.T @ inputs)
    torch.testing.assert_close(grid.round(rounded), rounded)


def test_channels_of_a_depthwise_convolution_are_rounded_on_their_own() -> None:
    inputs = correlated(800, 9, groups=6)
    weight = torch.randn(6, 9, generator=torch.Generator().manual_seed(3))
    grid = weight_grid(weight, 4)
    rounded = round_gptq(weight, grid, inputs.transpose(1, 2) @ inputs)
    for channel in range(6):
        nearest = grid.round(weight)[channel]
        lost = (inputs[channel] @ (rounded[channel] - weight[channel])).square().mean()
        assert lost <= 1.001 * (inputs[channel] @ (nearest - weight[channel])).square().mean()


def test_channels_that_were_never_active_are_rounded_to_the_nearest() -> None:
    weight = torch.randn(4, 10, generator=torch.Generator().manual_seed(4))
    grid = weight_grid(weight, 8)
    torch.testing.assert_close(round_gptq(weight, grid, torch.zeros(10, 10)), grid.round(weight))
