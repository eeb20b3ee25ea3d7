"""Handlers of ops/elementwise.py against coremltools' value inference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from coremltools.converters.mil import Builder as mb

from sam_export.errors import UnsupportedError
from sam_export.verify.mil.inputs import OpInputs
from sam_export.verify.mil.ops import HANDLERS

from ..cases import IOS16, IOS17, Case, check, integers, normal, over

X = normal(2, 3, 4)
POSITIVE = np.abs(X) + 0.1
TIES = np.array([-2.5, -1.5, -0.5, 0.0, 0.5, 1.5, 2.5, 0.4999], np.float32)


def unary(op: str, x: np.ndarray = X, variant: str = "", **attributes: Any) -> Case:
    return Case(op, variant, lambda x: getattr(mb, op)(x=x, **attributes), {"x": x})


def binary(op: str, x: np.ndarray, y: np.ndarray, variant: str = "") -> Case:
    return Case(op, variant, lambda x, y: getattr(mb, op)(x=x, y=y), {"x": x, "y": y})


def logical(op: str) -> Case:
    def body(x: Any, y: Any) -> Any:
        return getattr(mb, op)(x=mb.cast(x=x, dtype="bool"), y=mb.cast(x=y, dtype="bool"))

    return Case(op, "", body, {"x": integers(12, low=0, high=2), "y": integers(12, low=0, high=2, seed=1)})


def cast(source: np.ndarray, dtype: str, target: Any = IOS16) -> Case:
    variant = f"{source.dtype.name}-to-{dtype}"
    return Case("cast", variant, lambda x: mb.cast(x=x, dtype=dtype), {"x": source}, target=target)


def select_body(cond: Any, a: Any, b: Any) -> Any:
    return mb.select(cond=mb.cast(x=cond, dtype="bool"), a=a, b=b)


UNARY = tuple(
    unary(op)
    for op in (
        *("abs", "ceil", "cos", "erf", "exp", "exp2", "floor", "identity", "relu", "relu6"),
        *("sigmoid", "sign", "sin", "softplus", "square", "tan", "tanh"),
    )
)
BINARY = tuple(
    case
    for op in (
        "add",
        "equal",
        "greater",
        "greater_equal",
        "less",
        "less_equal",
        "maximum",
        "minimum",
        "mul",
        "not_equal",
        "sub",
    )
    for case in (
        binary(op, X, np.where(normal(2, 3, 4, seed=1) > 0, X, -X), "same-shape"),
        binary(op, X, normal(3, 1, seed=1), "broadcast"),
        binary(op, integers(3, 4), integers(3, 4, seed=1), "integers"),
    )
)
CASES = (
    *UNARY,
    Case("silu", "", lambda x: mb.silu(x=x), {"x": X}, lambda x: x / (1 + torch.exp(-x))),
    unary("round", TIES, "ties-to-even"),
    unary("sqrt", POSITIVE),
    unary("rsqrt", POSITIVE, epsilon=1e-3),
    unary("log", POSITIVE, epsilon=1e-3),
    unary("inverse", POSITIVE, epsilon=1e-3),
    unary("clip", alpha=-0.3, beta=0.7),
    unary("leaky_relu", alpha=0.1),
    unary("gelu", X, "exact", mode="EXACT"),
    unary("gelu", X, "tanh", mode="TANH_APPROXIMATION"),
    unary("gelu", X, "sigmoid", mode="SIGMOID_APPROXIMATION"),
    *BINARY,
    *(logical(op) for op in ("logical_and", "logical_or", "logical_xor")),
    Case("logical_not", "", lambda x: mb.logical_not(x=mb.cast(x=x, dtype="bool")), {"x": integers(9, low=0, high=2)}),
    binary("real_div", X, POSITIVE, "floating"),
    binary("real_div", integers(8) * 3, np.full(8, 3, np.int32), "integers-without-remainder"),
    binary("pow", POSITIVE, normal(4, seed=1)),
    binary("floor_div", X, normal(2, 3, 4, seed=1), "floating-both-signs"),
    binary("floor_div", integers(12), integers(12, low=-9, high=-1), "integers-both-signs"),
    binary("mod", X, normal(2, 3, 4, seed=1), "floating-both-signs"),
    binary("mod", integers(12), integers(12, low=-9, high=-1), "integers-both-signs"),
    Case(
        "select",
        "tensor",
        select_body,
        {"cond": integers(3, 1, low=0, high=2), "a": normal(3, 4), "b": normal(3, 4, seed=1)},
    ),
    cast(X, "fp16"),
    cast(X, "fp32"),
    cast(X * 3, "int32"),
    cast(np.array([-2.0, 0.0, 0.5], np.float32), "bool"),
    cast(integers(6), "fp32"),
    cast(integers(6), "fp16"),
    *(cast(integers(6, low=0, high=100), dtype, IOS17) for dtype in ("int8", "uint8", "int16", "uint16")),
)


@over(CASES)
def test_handler(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


@pytest.mark.parametrize(
    ("op", "values", "said"),
    [
        ("real_div", {"x": torch.tensor([7]), "y": torch.tensor([2])}, "remainder"),
        ("cast", {"x": torch.ones(1), "dtype": "complex64"}, "allowed: fp16, fp32"),
        ("gelu", {"x": torch.ones(1), "mode": "CUBIC"}, "allowed: EXACT"),
    ],
    ids=["division-with-remainder", "cast-to-complex", "gelu-mode"],
)
def test_refuses_what_has_no_settled_meaning(op: str, values: dict[str, Any], said: str) -> None:
    with pytest.raises(UnsupportedError, match=said):
        HANDLERS[op](OpInputs(values))
