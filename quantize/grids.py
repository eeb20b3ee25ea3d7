"""The numbers that rounding is to: scale and zero point of a weight's channels or of a tensor."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

# How far a range may be clipped in search of the least squared error, as shares of the whole.
CLIPPED_SHARES = tuple(share / 100 for share in range(100, 39, -2))
PERCENTILE = 0.9999
# Of 4-bit grids; engines take powers of 2. LiteMedSAM's linear layers have 128, 160, 256, 320 and more inputs.
GROUP_SIZES = (64, 32)


@dataclass(frozen=True, eq=False)
class Grid:
    """`scale` * (code - `zero_point`), codes from `low` to `high`. Scalars, or one of each per channel of `axis`."""

    scale: Tensor
    zero_point: Tensor
    low: int
    high: int
    axis: int | None = None

    def round(self, values: Tensor) -> Tensor:
        """Return the nearest values that the grid has."""
        scale, zero_point = self._shaped(self.scale, values), self._shaped(self.zero_point, values)
        codes = (torch.round(values / scale) + zero_point).clamp(self.low, self.high)
        return (codes - zero_point) * scale

    def _shaped(self, numbers: Tensor, like: Tensor) -> Tensor:
        if self.axis is None:
            return numbers
        shape = [1] * like.dim()
        shape[self.axis] = -1
        return numbers.reshape(shape)


def weight_grid(weight: Tensor, bits: int) -> Grid:
    """Return the symmetric grid of each output channel (axis 0) that rounds it with the least squared error."""
    highest = 2 ** (bits - 1) - 1
    flat = weight.flatten(1)
    largest = flat.abs().amax(1).clamp(min=1e-8)
    best, least = largest / highest, torch.full_like(largest, torch.inf)
    for share in CLIPPED_SHARES:
        scale = largest * share / highest
        codes = torch.round(flat / scale[:, None]).clamp(-highest, highest)
        error = (codes * scale[:, None] - flat).square().sum(1)
        best, least = torch.where(error < least, scale, best), torch.minimum(error, least)
    return Grid(best, torch.zeros_like(best, dtype=torch.int32), -highest, highest, axis=0)


def group_grid(weight: Tensor) -> Grid:
    """Return the 4-bit grid of each group of neighbouring inputs, [out * in / size], of the least squared error."""
    rows = weight.reshape(-1, group_size(weight.shape[1]))
    low, high = rows.amin(1).clamp(max=0), rows.amax(1).clamp(min=0)
    best, least = range_grid(low, high, 0, bits=4), torch.full_like(low, torch.inf)
    for share in CLIPPED_SHARES:
        grid = range_grid(low * share, high * share, 0, bits=4)
        error = (grid.round(rows) - rows).square().sum(1)
        scale = torch.where(error < least, grid.scale, best.scale)
        zero_point = torch.where(error < least, grid.zero_point, best.zero_point)
        best, least = replace(best, scale=scale, zero_point=zero_point), torch.minimum(error, least)
    return best


def group_size(inputs: int) -> int:
    """Return how many neighbouring inputs share a 4-bit grid: the larger size that divides them, 0 if none does."""
    return next((size for size in GROUP_SIZES if inputs % size == 0), 0)


def range_grid(low: Tensor, high: Tensor, axis: int | None = None, *, bits: int = 8) -> Grid:
    """Return the grid of a range, zero exactly on it. `low`, `high`: scalars, or one of each per channel."""
    low, high, highest = low.clamp(max=0), high.clamp(min=0), 2**bits - 1
    scale = ((high - low) / highest).clamp(min=1e-8).float()
    return Grid(scale, torch.round(-low / scale).clamp(0, highest).to(torch.int32), 0, highest, axis)


def clipped_range(counts: Tensor, low: float, high: float, how: str) -> tuple[float, float]:
    """Return the part of a histogram's range to keep.

    Args:
        counts: [bins], of values from `low` to `high`.
        how: `percentile` leaves out the outermost values; `mse` what makes the squared error least; `mask` the same
            of a histogram in which values count for what the masks mind; `minmax` nothing.
    """
    if how == "minmax" or high <= low:
        return low, high
    if how == "percentile":
        return _percentile_range(counts, low, high)
    return _least_squares_range(counts, low, high)


def _percentile_range(counts: Tensor, low: float, high: float) -> tuple[float, float]:
    share = counts.cumsum(0) / counts.sum()
    width = (high - low) / len(counts)
    first = int((share < (1 - PERCENTILE)).sum())
    last = int((share < PERCENTILE).sum()) + 1
    return low + first * width, low + last * width


def _least_squares_range(counts: Tensor, low: float, high: float) -> tuple[float, float]:
    """Both ends are moved inwards, each on its own, zero always inside; all upper ends at once."""
    centres = low + (torch.arange(len(counts)) + 0.5) * (high - low) / len(counts)
    highs = high * torch.tensor(CLIPPED_SHARES if high > 0 else (1.0,))
    best, least = (low, high), float("inf")
    for below in CLIPPED_SHARES if low < 0 else (1.0,):
        grids = range_grid(torch.full_like(highs, low * below), highs, axis=0)
        rounded = grids.round(centres.expand(len(highs), -1))
        errors = (counts * (rounded - centres).square()).sum(1)
        found = int(errors.argmin())
        if float(errors[found]) < least:
            best, least = (low * below, float(highs[found])), float(errors[found])
    return best
