"""Handlers of ops/normalise.py: against coremltools' value inference, batch and instance norm against torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from coremltools.converters.mil import Builder as mb

from sam_export.errors import UnsupportedError
from sam_export.verify.mil.inputs import OpInputs
from sam_export.verify.mil.ops import HANDLERS

from ..cases import Case, check, integers, normal, over

X = normal(2, 3, 4, 5)
MEAN, VARIANCE, GAMMA, BETA = normal(3, seed=1), np.abs(normal(3, seed=2)) + 0.1, normal(3, seed=3), normal(3, seed=4)


def layer_norm(variant: str, axes: list[int], **affine: np.ndarray) -> Case:
    def body(x: Any) -> Any:
        return mb.layer_norm(x=x, axes=axes, epsilon=1e-3, **affine)

    return Case("layer_norm", variant, body, {"x": X}, rtol=5e-6)


def channel_norm(op: str, variant: str, x: np.ndarray, **affine: np.ndarray) -> Case:
    tensors = {name: torch.from_numpy(value) for name, value in affine.items()}

    def expected(x: torch.Tensor) -> torch.Tensor:
        weight, bias = tensors.get("gamma"), tensors.get("beta")
        if op == "batch_norm":
            return F.batch_norm(x, tensors["mean"], tensors["variance"], weight, bias, eps=1e-3)
        return F.instance_norm(x, weight=weight, bias=bias, eps=1e-3)

    return Case(op, variant, lambda x: getattr(mb, op)(x=x, epsilon=np.float32(1e-3), **affine), {"x": x}, expected)


def reduction(op: str, variant: str, x: np.ndarray = X, *, keep_dims: bool = False, **axes: Any) -> Case:
    return Case(op, variant, lambda x: getattr(mb, op)(x=x, keep_dims=keep_dims, **axes), {"x": x}, rtol=5e-6)


REDUCTIONS = tuple(
    case
    for op in (
        *("reduce_l1_norm", "reduce_l2_norm", "reduce_max", "reduce_mean", "reduce_min", "reduce_prod"),
        *("reduce_sum", "reduce_sum_square"),
    )
    for case in (
        reduction(op, "last-axis", axes=[-1]),
        reduction(op, "two-axes-kept", axes=[1, -2], keep_dims=True),
        reduction(op, "all-axes-kept", keep_dims=True),
    )
)
CASES = (
    Case("softmax", "last-axis", lambda x: mb.softmax(x=x, axis=-1), {"x": X}),
    Case("softmax", "first-axis-large", lambda x: mb.softmax(x=x, axis=0), {"x": X * 100}),
    layer_norm("last-axis", [-1]),
    layer_norm("affine", [3], gamma=normal(5, seed=1), beta=normal(5, seed=2)),
    layer_norm("two-last-axes", [2, 3], gamma=normal(4, 5, seed=1), beta=normal(4, 5, seed=2)),
    layer_norm("channels", [1], gamma=GAMMA, beta=BETA),
    layer_norm("axes-apart", [1, -1], gamma=normal(3, 5, seed=1), beta=normal(3, 5, seed=2)),
    channel_norm("batch_norm", "plain", X, mean=MEAN, variance=VARIANCE),
    channel_norm("batch_norm", "affine", X, mean=MEAN, variance=VARIANCE, gamma=GAMMA, beta=BETA),
    channel_norm("batch_norm", "rank-3", X[..., 0], mean=MEAN, variance=VARIANCE, gamma=GAMMA, beta=BETA),
    channel_norm("instance_norm", "plain", X),
    channel_norm("instance_norm", "affine", X, gamma=GAMMA, beta=BETA),
    *REDUCTIONS,
    reduction("reduce_sum", "integers", integers(3, 4), axes=[0]),
    reduction("reduce_log_sum_exp", "last-axis-large", X * 50, axes=[-1]),
    reduction("reduce_log_sum_exp", "two-axes-kept", axes=[1, -2], keep_dims=True),
    *(
        reduction(op, variant, axis=axis, keep_dims=keep)
        for op in ("reduce_argmax", "reduce_argmin")
        for variant, axis, keep in (("last-axis", -1, False), ("kept", 1, True))
    ),
)


@over(CASES)
def test_handler(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


def test_reduction_over_no_axes_is_refused() -> None:
    inputs = {"x": torch.ones(2), "axes": torch.tensor([], dtype=torch.int32), "keep_dims": torch.tensor(False)}
    with pytest.raises(UnsupportedError, match="no axes"):
        HANDLERS["reduce_sum"](OpInputs(inputs))
