"""Weights onto their grid: to the nearest value, or so that the layer's output moves least (GPTQ).

Source: Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers"
(arXiv:2210.17323), algorithm 1, with columns in order of falling diagonal.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .grids import Grid

Nearest = Callable[[Tensor, int], Tensor]

DAMPING = 0.01
BLOCK = 64


def round_gptq(weight: Tensor, grid: Grid, gram: Tensor) -> Tensor:
    """Return the weight on its grid; each column's error is made up for by the columns that are still to round.

    Shapes:
        weight   [out, in], or [C, k²] of a depthwise convolution
        grid     one scale for each row, or for each group of neighbours in each row
        gram     [in, in], the sum of x x^T over what the layer saw, or [C, k², k²]
        returns  as `weight`
    """
    batched = weight.unsqueeze(1) if gram.dim() == 3 else weight.unsqueeze(0)
    scales, zero_points = (one.double().reshape(*batched.shape[:2], -1) for one in (grid.scale, grid.zero_point))
    group = batched.shape[-1] // scales.shape[-1]

    def nearest(values: Tensor, column: int) -> Tensor:
        scale, zero_point = scales[..., column // group], zero_points[..., column // group]
        return ((torch.round(values / scale) + zero_point).clamp(grid.low, grid.high) - zero_point) * scale

    rounded = round_columns(batched, gram.reshape(-1, *gram.shape[-2:]), nearest)
    return rounded.reshape(weight.shape).to(weight.dtype)


def round_columns(weight: Tensor, gram: Tensor, nearest: Nearest) -> Tensor:
    """Return the weight in float64 with every column, one after another, replaced by the nearest values there are.

    Columns are rounded in blocks; what lies behind a block is corrected once for all of it.

    Shapes:
        weight    [G, out, in], of G layers that share nothing
        gram      [G, in, in]
        nearest   a column [G, out] and its index -> [G, out]
    """
    gram = gram.double()
    order = gram.diagonal(dim1=-2, dim2=-1).sum(0).argsort(descending=True)
    remaining = weight.double()[..., order]
    upper = _inverse_factor(gram[:, order][:, :, order])
    for start in range(0, remaining.shape[-1], BLOCK):
        block = slice(start, min(start + BLOCK, remaining.shape[-1]))
        errors = _round_block(remaining[..., block], upper[:, block, block], order[block].tolist(), nearest)
        remaining[..., block.stop :] -= errors @ upper[:, block, block.stop :]
    return remaining[..., order.argsort()]


def _round_block(columns: Tensor, upper: Tensor, names: list[int], nearest: Nearest) -> Tensor:
    """Round the columns [G, out, block] in place; return each one's error by its diagonal, [G, out, block]."""
    errors = torch.empty_like(columns)
    for index, name in enumerate(names):
        value = columns[..., index].clone()
        rounded = nearest(value, name)
        errors[..., index] = (value - rounded) / upper[:, None, index, index]
        columns[..., index:] -= errors[..., index : index + 1] * upper[:, None, index, index:]
        columns[..., index] = rounded
    return errors


def _inverse_factor(gram: Tensor) -> Tensor:
    """Return the upper Cholesky factor of the damped inverse; a channel that was never active is damped to 1."""
    size = gram.shape[-1]
    diagonal = gram.diagonal(dim1=-2, dim2=-1)
    damping = DAMPING * diagonal.mean(-1, keepdim=True)
    damped = gram + torch.diag_embed(torch.where(damping > 0, damping, 1.0).expand(-1, size))
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    factor: Tensor = torch.linalg.cholesky(inverse, upper=True)
    return factor
