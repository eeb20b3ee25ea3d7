"""Handlers of ops/compressed.py against coremltools' value inference and its decompression of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from coremltools.converters.mil import Builder as mb
from coremltools.converters.mil.mil import types

from sam_export.errors import ContractError, UnsupportedError
from sam_export.verify.mil.inputs import OpInputs
from sam_export.verify.mil.ops import HANDLERS

from ..cases import IOS16, IOS17, IOS18, Case, check, integers, normal, over

X = normal(2, 3, 8)
# coremltools multiplies fp16 weights in fp16, this evaluator in float32, then rounds once.
HALF_ROUNDING = 1e-3


def unsigned(*shape: int, bits: int) -> np.ndarray:
    """Return indices in coremltools' own type for `bits` bits, which the numpy byte only annotates."""
    kind = types.nptype_from_builtin(types.string_to_builtin(f"uint{bits}"))
    return integers(*shape, low=0, high=1 << bits).astype(kind)


def weight(op: str, variant: str, target: Any = IOS16, rtol: float = 2e-6, **held: Any) -> Case:
    return Case(op, variant, lambda x: getattr(mb, op)(**held), {"x": X}, target=target, rtol=rtol)


def bytes_of(*shape: int, signed: bool = True) -> np.ndarray:
    return (
        integers(*shape, low=-128, high=128).astype(np.int8)
        if signed
        else integers(*shape, low=0, high=256).astype(np.uint8)
    )


def affine(variant: str, data: np.ndarray, scale: Any, zero_point: Any, axis: int, rtol: float = 2e-6) -> Case:
    held = {"quantized_data": data, "scale": scale, "zero_point": zero_point, "axis": axis}
    return weight("constexpr_affine_dequantize", variant, rtol=rtol, **held)


def blockwise(variant: str, rtol: float = 2e-6, **held: np.ndarray) -> Case:
    return weight("constexpr_blockwise_shift_scale", variant, IOS18, rtol, **held)


def packed_lut(bits: int, *shape: int) -> Case:
    count = int(np.prod(shape))
    stream = ((integers(count, low=0, high=1 << bits)[:, None] >> np.arange(bits)) & 1).astype(np.uint8)
    held = {
        "indices": np.packbits(stream.reshape(-1), bitorder="little"),
        "lut": normal(1 << bits, seed=1),
        "shape": np.array(shape, np.uint32),
    }
    return weight("constexpr_lut_to_dense", f"ios16-{bits}-bits", IOS16, **held)


def grouped_lut(
    variant: str, bits: int, indices: tuple[int, ...], groups: tuple[int, ...], vector: int = 1, **axis: Any
) -> Case:
    held = {"indices": unsigned(*indices, bits=bits), "lut": normal(*groups, 1 << bits, vector, seed=1), **axis}
    return weight("constexpr_lut_to_dense", f"ios18-{variant}", IOS18, **held)


def quantize(variant: str, dtype: str, scale: Any, zero_point: Any = None, axis: int | None = None) -> Case:
    optional = {name: value for name, value in (("zero_point", zero_point), ("axis", axis)) if value is not None}

    def body(x: Any) -> Any:
        return mb.quantize(input=x, scale=scale, output_dtype=dtype, **optional)

    return Case("quantize", variant, body, {"x": X * 40}, target=IOS17)


def dequantize(variant: str, dtype: str, scale: Any, zero_point: Any = None, axis: int | None = None) -> Case:
    optional = {name: value for name, value in (("zero_point", zero_point), ("axis", axis)) if value is not None}

    def body(x: Any) -> Any:
        return mb.dequantize(input=mb.cast(x=x, dtype=dtype), scale=scale, **optional)

    low = 0 if dtype == "uint8" else -100
    return Case("dequantize", variant, body, {"x": integers(2, 3, 8, low=low, high=100)}, target=IOS17)


SCALE = np.float32(0.25)
SCALES, SIGNED, UNSIGNED = np.abs(normal(3)) + 0.1, np.array([-3, 0, 5], np.int8), np.array([3, 128, 250], np.uint8)
INT4 = integers(4, 6, low=-8, high=8).astype(types.nptype_from_builtin(types.string_to_builtin("int4")))
MASK = integers(4, 6, low=0, high=2).astype(np.uint8)
NONZERO = normal(int(MASK.sum()))
CASES = (
    quantize("int8-one-scale", "int8", SCALE),
    quantize("int8-zero-point", "int8", SCALE, np.int8(7)),
    quantize("uint8-saturates", "uint8", SCALE, np.uint8(128)),
    quantize("int8-per-channel", "int8", SCALES, SIGNED, 1),
    quantize("uint8-per-channel-negative-axis", "uint8", SCALES, UNSIGNED, -2),
    dequantize("int8-one-scale", "int8", SCALE),
    dequantize("uint8-zero-point", "uint8", SCALE, np.uint8(128)),
    dequantize("int8-per-channel", "int8", SCALES, SIGNED, 1),
    dequantize("uint8-per-channel-negative-axis", "uint8", SCALES, UNSIGNED, -2),
    affine("int8-scalar", bytes_of(4, 3), SCALE, np.int8(3), 0),
    affine("int8-per-channel", bytes_of(3, 4), SCALES, SIGNED, 0),
    affine("uint8-negative-axis", bytes_of(2, 4, 3, signed=False), SCALES, UNSIGNED, -1),
    affine("fp16", bytes_of(3, 40), SCALES.astype(np.float16), SIGNED, 0, HALF_ROUNDING),
    blockwise("per-tensor", data=bytes_of(4, 6), scale=np.full((1, 1), SCALE)),
    blockwise("per-channel-offset", data=bytes_of(3, 4), scale=SCALES[:, None], offset=SIGNED[:, None]),
    blockwise("int4-blocks", data=INT4, scale=np.abs(normal(4, 3)) + 0.1),
    blockwise(
        "blocks-on-both-axes-offset", data=bytes_of(4, 6), scale=normal(2, 3), offset=integers(2, 3).astype(np.int8)
    ),
    blockwise("fp16", HALF_ROUNDING, data=bytes_of(3, 40), scale=SCALES[:, None].astype(np.float16)),
    *(packed_lut(bits, 3, 5, 2) for bits in (1, 2, 4, 6, 8)),
    grouped_lut("one-table", 6, (4, 6), (1, 1)),
    *(grouped_lut(f"{bits}-bits", bits, (4, 6), (1, 1)) for bits in (1, 2, 3, 4, 8)),
    grouped_lut("grouped-rows", 2, (6, 4), (3, 1)),
    grouped_lut("grouped-both", 4, (6, 4, 2), (2, 2, 1)),
    grouped_lut("vectors-first-axis", 2, (4, 6), (1, 1), 3, vector_axis=0),
    grouped_lut("vectors-negative-axis-grouped", 2, (4, 6), (2, 1), 2, vector_axis=-1),
    weight("constexpr_cast", "", source_val=normal(3, 8).astype(np.float16), output_dtype="fp32"),
    weight(
        "constexpr_sparse_to_dense",
        "ios16",
        nonzero_data=NONZERO,
        mask=np.packbits(MASK.reshape(-1), bitorder="little"),
        shape=np.array(MASK.shape, np.uint32),
    ),
    weight(
        "constexpr_sparse_to_dense",
        "ios18",
        IOS18,
        nonzero_data=NONZERO,
        mask=MASK.astype(types.nptype_from_builtin(types.string_to_builtin("uint1"))),
    ),
)


@over(CASES)
def test_handler(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


def test_quantize_saturates_at_both_ends_and_rounds_ties_to_even() -> None:
    inputs = {"input": torch.tensor([-900.0, 0.5, 1.5, 900.0]), "scale": torch.tensor(1.0), "output_dtype": "int8"}
    assert HANDLERS["quantize"](OpInputs(inputs)).tolist() == [-128, 0, 2, 127]


@pytest.mark.parametrize(
    ("op", "values", "error", "said"),
    [
        ("quantize", {"input": torch.ones(1), "output_dtype": "int4"}, UnsupportedError, "allowed: int8, uint8"),
        (
            "constexpr_blockwise_shift_scale",
            {"data": torch.ones(4, 5), "scale": torch.ones(4, 2)},
            ContractError,
            "do not divide",
        ),
        (
            "constexpr_lut_to_dense",
            {"lut": torch.ones(4), "indices": torch.ones(1, dtype=torch.uint8), "shape": torch.tensor([5])},
            ContractError,
            "1 bytes hold less than 5",
        ),
        (
            "constexpr_lut_to_dense",
            {
                "lut": torch.ones(4),
                "indices": torch.ones(1, dtype=torch.uint8),
                "shape": torch.tensor([1 << 20, 1 << 20]),
            },
            ContractError,
            "at most",
        ),
    ],
    ids=["int4-activations", "blocks-that-do-not-divide", "too-few-indices", "huge-shape"],
)
def test_refuses(op: str, values: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        HANDLERS[op](OpInputs(values))
