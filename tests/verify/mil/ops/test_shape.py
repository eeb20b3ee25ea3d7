"""Handlers of ops/shape.py against coremltools' value inference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from coremltools.converters.mil import Builder as mb

from sam_export.errors import ContractError, UnsupportedError
from sam_export.verify.mil.inputs import OpInputs
from sam_export.verify.mil.ops import HANDLERS
from sam_export.verify.mil.ops.shape import MAX_ELEMENTS

from ..cases import IOS16, IOS17, Case, check, integers, normal, over

X = normal(2, 3, 4, 5)


def one(op: str, variant: str, x: np.ndarray = X, *, target: Any = IOS16, **attributes: Any) -> Case:
    return Case(op, variant, lambda x: getattr(mb, op)(x=x, **attributes), {"x": x}, target=target)


def joined(op: str, variant: str, *arrays: np.ndarray, **attributes: Any) -> Case:
    feeds = {f"v{index}": array for index, array in enumerate(arrays)}
    return Case(op, variant, lambda **inputs: getattr(mb, op)(values=tuple(inputs.values()), **attributes), feeds)


def sliced(variant: str, begin: list[int], end: list[int], **optional: Any) -> Case:
    return one("slice_by_index", variant, begin=begin, end=end, **optional)


def gathered(
    op: str,
    variant: str,
    indices: Any,
    target: Any = IOS16,
    expected: Callable[..., torch.Tensor] | None = None,
    **axis: int,
) -> Case:
    held = np.array(indices, np.int32)
    return Case(op, variant, lambda x: getattr(mb, op)(x=x, indices=held, **axis), {"x": X}, expected, target)


def along_axis(variant: str, axis: int, low: int, target: Any = IOS16) -> Case:
    shape = list(X.shape)
    shape[axis] = 2
    return gathered("gather_along_axis", variant, integers(*shape, low=low, high=X.shape[axis]), target, axis=axis)


def range_expected(**_: torch.Tensor) -> torch.Tensor:
    return torch.arange(-3, 9, 4, dtype=torch.int32)


ZEROS = [0] * 4
CASES = (
    one("reshape", "plain", shape=[6, 20]),
    one("reshape", "remaining", shape=[3, -1, 2]),
    one("reshape", "kept-sides", shape=[0, -1, 0, 1]),
    one("transpose", "reversed", perm=[3, 2, 1, 0]),
    one("transpose", "negative", perm=[0, -1, 1, 2]),
    one("expand_dims", "front-and-back", axes=[0, -1]),
    one("expand_dims", "middle", axes=[2]),
    one("squeeze", "all", X[:1, :, :1]),
    one("squeeze", "one-negative", X[:1, :, :1], axes=[-2]),
    one("squeeze", "two", X[:1, :, :1], axes=[0, 2]),
    joined("concat", "first", X, X[:1], axis=0),
    joined("concat", "negative", X, X[..., :2], axis=-1),
    joined("concat", "integers", integers(2, 3), integers(2, 1), axis=1),
    joined("stack", "front", X, -X, axis=0),
    joined("stack", "negative", X, -X, axis=-1),
    one("split", "equal", num_splits=2, axis=2),
    one("split", "sizes", split_sizes=[1, 2, 2], axis=-1),
    one("tile", "", reps=[2, 1, 3, 1]),
    one("pad", "constant", pad=[1, 2, 0, 3], mode="constant", constant_val=1.5),
    one("pad", "constant-all-axes", pad=[1, 0, 0, 1, 2, 2, 3, 0], mode="constant", constant_val=0.0),
    one("pad", "reflect", pad=[2, 1, 1, 3], mode="reflect"),
    one("pad", "reflect-three-axes", pad=[1, 1, 2, 1, 0, 3], mode="reflect"),
    one("pad", "replicate", pad=[2, 1, 1, 3], mode="replicate"),
    sliced("plain", [0, 1, 1, 2], [2, 3, 3, 5]),
    sliced("negative-bounds", [-2, -2, 0, -4], [2, -1, -1, -1]),
    sliced("strides", [0, 0, 0, 1], [2, 3, 4, 5], stride=[1, 2, 3, 2]),
    sliced("beyond-the-end", [0, 0, 0, 0], [9, 9, 9, 2]),
    sliced("begin-mask", [1, 2, 3, 4], [2, 3, 4, 5], begin_mask=[True, False, True, False]),
    sliced("end-mask", [0, 1, 2, 3], [1, 1, 1, 1], end_mask=[False, True, True, True]),
    sliced("squeeze-mask", [1, 0, -1, 0], [0, 3, 0, 5], squeeze_mask=[True, False, True, False]),
    sliced("reversed", [0, 0, 3, 4], [2, 3, 0, 1], stride=[1, 1, -1, -2]),
    sliced("reversed-open", ZEROS, ZEROS, stride=[-1] * 4, begin_mask=[True] * 4, end_mask=[True] * 4),
    one("slice_by_size", "plain", begin=[0, 1, 1, 2], size=[2, 1, 3, 2]),
    one("slice_by_size", "remaining", begin=[1, 0, 2, 3], size=[-1, 2, -1, -1]),
    one("shape", ""),
    Case("fill", "floating", lambda x: mb.fill(shape=[2, 3], value=1.5), {"x": X}),
    Case("fill", "integer", lambda x: mb.fill(shape=[4], value=np.int32(-2)), {"x": X}),
    Case("range_1d", "integers", lambda x: mb.range_1d(start=-3, end=9, step=4), {"x": X}, range_expected),
    gathered("gather", "vector", [2, 0, 0], axis=1),
    gathered("gather", "scalar", 2, axis=1),
    gathered("gather", "matrix-negative-axis", [[0, 1], [4, 2]], axis=-1),
    gathered("gather", "negative-index-ios17", [-1, 0], IOS17, axis=2),
    along_axis("first", 0, 0),
    along_axis("last", -1, 0),
    along_axis("negative-index-ios17", 2, -4, IOS17),
    gathered("gather_nd", "rows", [[0, 2], [1, 0]], expected=lambda x: torch.stack([x[0, 2], x[1, 0]])),
    gathered(
        "gather_nd",
        "elements",
        [[[0, 2, 3, 4]], [[1, 0, 0, 0]]],
        expected=lambda x: torch.stack([x[0, 2, 3, 4], x[1, 0, 0, 0]])[:, None],
    ),
)


@over(CASES)
def test_handler(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


def test_scalars_join_as_vectors_of_one() -> None:
    inputs = {"values": (torch.tensor(2), torch.tensor(7)), "axis": torch.tensor(0), "interleave": torch.tensor(False)}
    assert HANDLERS["concat"](OpInputs(inputs)).tolist() == [2, 7]


@pytest.mark.parametrize(
    ("op", "values", "error", "said"),
    [
        ("concat", {"interleave": torch.tensor(True)}, UnsupportedError, "interleave"),
        (
            "pad",
            {"x": torch.ones(2), "pad": torch.tensor([1, 1]), "mode": "wrap"},
            UnsupportedError,
            "allowed: constant",
        ),
        ("gather", {"batch_dims": torch.tensor(1)}, UnsupportedError, "batch_dims 1"),
        ("squeeze", {"x": torch.ones(2, 3), "axes": torch.tensor([1])}, ContractError, r"axes \[1\]"),
        ("squeeze", {"x": torch.ones(2, 3), "axes": torch.tensor([7])}, ContractError, "axis 7 is outside"),
        ("reshape", {"x": torch.ones(2, 3), "shape": torch.tensor([0, 3, 1])}, ContractError, "same rank"),
        ("tile", {"x": torch.ones(2), "reps": torch.tensor([MAX_ELEMENTS])}, ContractError, "at most"),
        ("tile", {"x": torch.ones(2), "reps": torch.tensor([1, 2])}, ContractError, "one for each axis"),
        ("fill", {"value": torch.ones(()), "shape": torch.tensor([1 << 20, 1 << 20])}, ContractError, "at most"),
        (
            "range_1d",
            {"start": torch.tensor(0), "end": torch.tensor(1 << 40), "step": torch.tensor(1)},
            ContractError,
            "at most",
        ),
        (
            "pad",
            {"x": torch.ones(2), "pad": torch.tensor([1 << 31, 0]), "mode": "replicate"},
            ContractError,
            "at most",
        ),
    ],
    ids=[
        "interleave",
        "pad-mode",
        "gather-batch",
        "squeeze-wide-axis",
        "squeeze-no-such-axis",
        "reshape-zero",
        "huge-tile",
        "tile-rank",
        "huge-fill",
        "huge-range",
        "huge-pad",
    ],
)
def test_refuses(op: str, values: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        HANDLERS[op](OpInputs(values))
