"""Operations on compressed numbers: quantize, dequantize, and the weights that are stored compressed.

`constexpr_*` are constants: the evaluator decodes them once. Each comes in the encoding of iOS 16 (packed
bits and attributes) and of iOS 18 (blocks and typed sub-byte tensors), told apart by the inputs present.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ....errors import ContractError, UnsupportedError
from ..inputs import OpInputs, positive_axis
from .shape import check_size

LIMITS: Mapping[str, tuple[int, int, torch.dtype]] = {
    "int8": (-128, 127, torch.int8),
    "uint8": (0, 255, torch.uint8),
}


def _along(parameter: Tensor, data: Tensor, inputs: OpInputs) -> Tensor:
    """Return a scale or zero point, one number or one for each place on `axis`, so that it broadcasts to `data`."""
    parameter = parameter.float()
    if parameter.dim() == 0:
        return parameter
    shape = [1] * data.dim()
    shape[positive_axis(inputs.integer("axis"), data.dim())] = -1
    return parameter.reshape(shape)


def _zero_point(data: Tensor, inputs: OpInputs) -> Tensor | float:
    zero_point = inputs.optional_tensor("zero_point")
    return 0.0 if zero_point is None else _along(zero_point, data, inputs)


def _quantize(inputs: OpInputs) -> Tensor:
    """Return round(x / scale) + zero_point, ties to even, held at the ends of the type."""
    x, dtype = inputs.tensor("input"), inputs.text("output_dtype")
    if dtype not in LIMITS:
        raise UnsupportedError(f"quantize: output_dtype {dtype!r}; allowed: {', '.join(LIMITS)}")
    low, high, stored = LIMITS[dtype]
    steps = torch.round(x / _along(inputs.tensor("scale"), x, inputs)) + _zero_point(x, inputs)
    return steps.clamp_(low, high).to(stored)


def _dequantized(data: Tensor, inputs: OpInputs) -> Tensor:
    return (data.float() - _zero_point(data, inputs)) * _along(inputs.tensor("scale"), data, inputs)


def _dequantize(inputs: OpInputs) -> Tensor:
    return _dequantized(inputs.tensor("input"), inputs)


def _affine_dequantize(inputs: OpInputs) -> Tensor:
    return _dequantized(inputs.tensor("quantized_data"), inputs)


def _blockwise_shift_scale(inputs: OpInputs) -> Tensor:
    """Return scale * (data - offset); scale and offset hold one number for each block of `data`."""
    data = inputs.tensor("data").float()
    offset = inputs.optional_tensor("offset")
    if offset is not None:
        data = data - _per_element(offset.float(), data)
    return data * _per_element(inputs.tensor("scale"), data)


def _per_element(blocks: Tensor, data: Tensor) -> Tensor:
    """Repeat `blocks` along each axis until it broadcasts to `data`; the block size is the ratio of their sides."""
    if blocks.dim() != data.dim() or any(side % count for side, count in zip(data.shape, blocks.shape, strict=True)):
        raise ContractError(f"blocks of shape {list(blocks.shape)} do not divide data of shape {list(data.shape)}")
    for axis, count in enumerate(blocks.shape):
        if count > 1:
            blocks = blocks.repeat_interleave(data.shape[axis] // count, axis)
    return blocks


def _lut_to_dense(inputs: OpInputs) -> Tensor:
    return _packed_lut(inputs) if inputs.has("shape") else _grouped_lut(inputs)


def _unpacked(packed: Tensor, bits: int, count: int) -> Tensor:
    """Return `count` unsigned integers of `bits` bits from bytes that are filled from the lowest bit upwards."""
    if packed.numel() * 8 < count * bits:
        raise ContractError(f"{packed.numel()} bytes hold less than {count} values of {bits} bits")
    places = torch.arange(8, dtype=torch.uint8)
    stream = (packed.reshape(-1, 1) >> places) & 1
    values = stream.reshape(-1)[: count * bits].reshape(count, bits).long()
    return (values << torch.arange(bits)).sum(1)


def _packed_lut(inputs: OpInputs) -> Tensor:
    """iOS 16: indices are packed bits [bytes], one lut [2^bits] for the whole tensor."""
    lut, shape = inputs.tensor("lut"), check_size(inputs.integers("shape"))
    bits = int(math.log2(lut.numel()))
    return lut[_unpacked(inputs.tensor("indices"), bits, math.prod(shape))].reshape(shape)


def _grouped_lut(inputs: OpInputs) -> Tensor:
    """iOS 18: indices [d0 .. dk], lut [g0 .. gk, 2^bits, V]: one table for each block of d/g indices.

    With V > 1 each index gives a vector, laid out along `vector_axis`.
    """
    indices, lut = inputs.tensor("indices").long(), inputs.tensor("lut")
    groups = lut.shape[:-2]
    tables = _per_element(torch.arange(math.prod(groups)).reshape(groups), indices)
    vectors = lut.reshape(-1, *lut.shape[-2:])[tables, indices]
    if lut.shape[-1] == 1:
        return vectors.squeeze(-1)
    axis = positive_axis(inputs.integer("vector_axis"), indices.dim())
    return vectors.movedim(-1, axis + 1).flatten(axis, axis + 1)


def _sparse_to_dense(inputs: OpInputs) -> Tensor:
    """Return `nonzero_data` in row-major order where the mask is set, zero elsewhere."""
    mask = inputs.tensor("mask")
    if inputs.has("shape"):
        shape = check_size(inputs.integers("shape"))
        mask = _unpacked(mask, 1, math.prod(shape)).reshape(shape)
    values = inputs.tensor("nonzero_data")
    return torch.zeros(mask.shape, dtype=values.dtype).masked_scatter_(mask.bool(), values)


def _constexpr_cast(inputs: OpInputs) -> Tensor:
    return inputs.tensor("source_val").float()


HANDLERS: Mapping[str, Callable[[OpInputs], Tensor]] = {
    "constexpr_affine_dequantize": _affine_dequantize,
    "constexpr_blockwise_shift_scale": _blockwise_shift_scale,
    "constexpr_cast": _constexpr_cast,
    "constexpr_lut_to_dense": _lut_to_dense,
    "constexpr_sparse_to_dense": _sparse_to_dense,
    "dequantize": _dequantize,
    "quantize": _quantize,
}
