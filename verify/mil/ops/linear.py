"""Operations that multiply and sum: linear, matmul, einsum, convolutions, attention."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from ....errors import ContractError, UnsupportedError
from ..inputs import OpInputs
from .shape import last_axis_first

CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)
TRANSPOSED = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)


def _linear(inputs: OpInputs) -> Tensor:
    return F.linear(inputs.tensor("x"), inputs.tensor("weight"), inputs.optional_tensor("bias"))


def _matmul(inputs: OpInputs) -> Tensor:
    x, y = inputs.tensor("x"), inputs.tensor("y")
    x = x.transpose(-1, -2) if inputs.flag("transpose_x") else x
    y = y.transpose(-1, -2) if inputs.flag("transpose_y") else y
    return x @ y


def _einsum(inputs: OpInputs) -> Tensor:
    return torch.einsum(inputs.text("equation"), *inputs.tensors("values"))


def _scaled_dot_product_attention(inputs: OpInputs) -> Tensor:
    """Return softmax(q k^T / sqrt(E) + mask) v; a boolean mask is True where attention may look.

    Shapes: query [B, ..., L, E], key [B, ..., S, E], value [B, ..., S, V], mask broadcastable to [B, ..., L, S].
    """
    mask = inputs.optional_tensor("attn_mask")
    return F.scaled_dot_product_attention(
        inputs.tensor("query"), inputs.tensor("key"), inputs.tensor("value"), attn_mask=mask
    )


def _conv(inputs: OpInputs) -> Tensor:
    x, weight = inputs.tensor("x"), inputs.tensor("weight")
    spatial = _spatial_rank(x)
    before_after = _padding(inputs, x, weight)
    before, after = before_after[0::2], before_after[1::2]
    if before != after:
        x, before = F.pad(x, last_axis_first(before_after)), [0] * spatial
    return CONVOLUTIONS[spatial - 1](
        x,
        weight,
        inputs.optional_tensor("bias"),
        inputs.integers("strides"),
        before,
        inputs.integers("dilations"),
        inputs.integer("groups"),
    )


def _spatial_rank(x: Tensor) -> int:
    if not 3 <= x.dim() <= 5:
        raise ContractError(f"convolution of a tensor of rank {x.dim()}, 3 to 5 are allowed")
    return x.dim() - 2


def _padding(inputs: OpInputs, x: Tensor, weight: Tensor) -> list[int]:
    """Return [before, after] for each spatial axis, first axis first."""
    kind, spatial = inputs.text("pad_type"), x.dim() - 2
    if kind == "valid":
        return [0] * 2 * spatial
    if kind == "custom":
        return inputs.integers("pad")
    if kind in ("same", "same_lower"):
        return _same_padding(inputs, x, weight, odd_goes_after=kind == "same")
    raise UnsupportedError(f"pad_type {kind!r}; allowed: valid, custom, same, same_lower")


def _same_padding(inputs: OpInputs, x: Tensor, weight: Tensor, *, odd_goes_after: bool) -> list[int]:
    """Return the padding that makes each output side `ceil(side / stride)`."""
    sides = zip(x.shape[2:], weight.shape[2:], inputs.integers("strides"), inputs.integers("dilations"), strict=True)
    padding = []
    for side, kernel, stride, dilation in sides:
        reach = (kernel - 1) * dilation + 1
        total = max((math.ceil(side / stride) - 1) * stride + reach - side, 0)
        small, large = total // 2, total - total // 2
        padding += [small, large] if odd_goes_after else [large, small]
    return padding


def _conv_transpose(inputs: OpInputs) -> Tensor:
    """Return the transposed convolution, cropped by `pad` on each side."""
    x, kind = inputs.tensor("x"), inputs.text("pad_type")
    spatial = _spatial_rank(x)
    if kind not in ("valid", "custom"):
        raise UnsupportedError(f"conv_transpose: pad_type {kind!r}; allowed: valid, custom")
    full = TRANSPOSED[spatial - 1](
        x,
        inputs.tensor("weight"),
        inputs.optional_tensor("bias"),
        inputs.integers("strides"),
        0,
        0,
        inputs.integer("groups"),
        inputs.integers("dilations"),
    )
    padding = inputs.integers("pad") if kind == "custom" else [0] * 2 * spatial
    return _checked_size(inputs, _cropped(full, padding))


def _cropped(full: Tensor, padding: list[int]) -> Tensor:
    if not any(padding):
        return full
    for axis in range(2, full.dim()):
        before, after = padding[2 * axis - 4 : 2 * axis - 2]
        full = full.narrow(axis, before, full.shape[axis] - before - after)
    return full


def _checked_size(inputs: OpInputs, output: Tensor) -> Tensor:
    declared = inputs.optional_integers("output_shape")
    if declared is not None and declared != list(output.shape):
        raise UnsupportedError(
            f"conv_transpose: output_shape {declared} where pad and strides give {list(output.shape)}; "
            "write the wanted size with pad instead"
        )
    return output


HANDLERS: Mapping[str, Callable[[OpInputs], Tensor]] = {
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "einsum": _einsum,
    "linear": _linear,
    "matmul": _matmul,
    "scaled_dot_product_attention": _scaled_dot_product_attention,
}
