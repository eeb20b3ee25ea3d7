"""Handlers of ops/linear.py: against coremltools' value inference, convolutions against torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from coremltools.converters.mil import Builder as mb
from torch import Tensor

from sam_export.errors import ContractError, UnsupportedError
from sam_export.verify.mil.inputs import OpInputs
from sam_export.verify.mil.ops import HANDLERS

from ..cases import IOS18, Case, check, normal, over

WEIGHT, BIAS = normal(5, 4, seed=1), normal(5, seed=2)
QUERY, KEY, VALUE = normal(2, 3, 5, 8), normal(2, 3, 7, 8, seed=1), normal(2, 3, 7, 6, seed=2)
BOOLEAN_MASK = np.arange(5)[:, None] >= np.arange(7)[None] - 2


def linear(variant: str, *shape: int, bias: np.ndarray | None = BIAS) -> Case:
    optional = {} if bias is None else {"bias": bias}
    return Case("linear", variant, lambda x: mb.linear(x=x, weight=WEIGHT, **optional), {"x": normal(*shape)})


def matmul(variant: str, x: np.ndarray, y: np.ndarray, **flags: bool) -> Case:
    return Case("matmul", variant, lambda x, y: mb.matmul(x=x, y=y, **flags), {"x": x, "y": y})


def einsum(equation: str, x: np.ndarray, y: np.ndarray) -> Case:
    variant = equation.replace(",", "_").replace("->", "_to_")
    return Case(
        "einsum", variant, lambda x, y: mb.einsum(values=(x, y), equation=equation), {"x": x, "y": y}, rtol=5e-6
    )


def attention(variant: str, mask: np.ndarray | None) -> Case:
    optional = {} if mask is None else {"attn_mask": mask}

    def body(query: Any, key: Any, value: Any) -> Any:
        return mb.scaled_dot_product_attention(query=query, key=key, value=value, **optional)

    feeds = {"query": QUERY, "key": KEY, "value": VALUE}
    return Case("scaled_dot_product_attention", variant, body, feeds, target=IOS18)


def conv(
    variant: str, x: np.ndarray, weight: np.ndarray, torchs: Callable[[Tensor, Tensor], Tensor], **how: Any
) -> Case:
    weights = torch.from_numpy(weight)
    return Case("conv", variant, lambda x: mb.conv(x=x, weight=weight, **how), {"x": x}, lambda x: torchs(x, weights))


def conv_transpose(
    variant: str, x: np.ndarray, weight: np.ndarray, torchs: Callable[[Tensor, Tensor], Tensor], **how: Any
) -> Case:
    weights = torch.from_numpy(weight)
    return Case(
        "conv_transpose",
        variant,
        lambda x: mb.conv_transpose(x=x, weight=weight, **how),
        {"x": x},
        lambda x: torchs(x, weights),
    )


X, W = normal(2, 4, 6, 7), normal(6, 4, 3, 3, seed=1)
CONV_BIAS = normal(6, seed=2)
ODD_AFTER, ODD_BEFORE = (1, 1, 0, 1), (1, 1, 1, 0)  # 6 rows of 7: strides of 2 leave one row to pad, two columns
CONV = (
    conv("valid", X, W, F.conv2d, pad_type="valid"),
    conv("bias", X, W, lambda x, w: F.conv2d(x, w, torch.from_numpy(CONV_BIAS)), pad_type="valid", bias=CONV_BIAS),
    conv(
        "strides-dilations",
        X,
        W,
        lambda x, w: F.conv2d(x, w, stride=(2, 1), dilation=(1, 2)),
        pad_type="valid",
        strides=[2, 1],
        dilations=[1, 2],
    ),
    conv("custom-even", X, W, lambda x, w: F.conv2d(x, w, padding=(1, 2)), pad_type="custom", pad=[1, 1, 2, 2]),
    conv(
        "custom-uneven",
        X,
        W,
        lambda x, w: F.conv2d(F.pad(x, (3, 1, 0, 2)), w),
        pad_type="custom",
        pad=[0, 2, 3, 1],
    ),
    conv("same", X, W, lambda x, w: F.conv2d(x, w, padding="same"), pad_type="same"),
    conv(
        "same-dilated", X, W, lambda x, w: F.conv2d(x, w, padding="same", dilation=2), pad_type="same", dilations=[2, 2]
    ),
    conv(
        "same-strided", X, W, lambda x, w: F.conv2d(F.pad(x, ODD_AFTER), w, stride=2), pad_type="same", strides=[2, 2]
    ),
    conv(
        "same-lower-strided",
        X,
        W,
        lambda x, w: F.conv2d(F.pad(x, ODD_BEFORE), w, stride=2),
        pad_type="same_lower",
        strides=[2, 2],
    ),
    conv("groups", X, normal(6, 2, 3, 3), lambda x, w: F.conv2d(x, w, groups=2), pad_type="valid", groups=2),
    conv("depthwise", X, normal(4, 1, 3, 3), lambda x, w: F.conv2d(x, w, groups=4), pad_type="valid", groups=4),
    conv("1d", normal(2, 4, 9), normal(6, 4, 3), lambda x, w: F.conv1d(x, w, padding=1), pad_type="custom", pad=[1, 1]),
    conv("3d", normal(1, 2, 4, 5, 6), normal(3, 2, 2, 2, 2), F.conv3d, pad_type="valid"),
)
TRANSPOSE = (
    conv_transpose("valid", X, normal(4, 6, 2, 2), lambda x, w: F.conv_transpose2d(x, w, stride=2), strides=[2, 2]),
    conv_transpose(
        "bias-dilations",
        X,
        normal(4, 6, 3, 3),
        lambda x, w: F.conv_transpose2d(x, w, torch.from_numpy(CONV_BIAS), stride=(1, 2), dilation=(2, 1)),
        bias=CONV_BIAS,
        strides=[1, 2],
        dilations=[2, 1],
    ),
    conv_transpose(
        "custom-even",
        X,
        normal(4, 6, 3, 3),
        lambda x, w: F.conv_transpose2d(x, w, stride=2, padding=1),
        pad_type="custom",
        pad=[1, 1, 1, 1],
        strides=[2, 2],
    ),
    conv_transpose(
        "custom-output-padding",
        X,
        normal(4, 6, 3, 3),
        lambda x, w: F.conv_transpose2d(x, w, stride=2, padding=1, output_padding=1),
        pad_type="custom",
        pad=[1, 0, 1, 0],
        strides=[2, 2],
    ),
    conv_transpose("groups", X, normal(4, 3, 2, 2), lambda x, w: F.conv_transpose2d(x, w, groups=2), groups=2),
    conv_transpose("1d", normal(2, 4, 9), normal(4, 3, 3), F.conv_transpose1d),
    conv_transpose(
        "output-shape-that-agrees",
        X,
        normal(4, 6, 2, 2),
        lambda x, w: F.conv_transpose2d(x, w, stride=2),
        strides=[2, 2],
        output_shape=[2, 6, 12, 14],
    ),
)
CASES = (
    linear("vectors", 3, 4),
    linear("rank-3", 2, 3, 4),
    linear("no-bias", 3, 4, bias=None),
    matmul("plain", normal(3, 4), normal(4, 5)),
    matmul("batched-broadcast", normal(2, 1, 3, 4), normal(5, 4, 6)),
    matmul("transpose-x", normal(2, 4, 3), normal(2, 4, 5), transpose_x=True),
    matmul("transpose-y", normal(2, 3, 4), normal(2, 5, 4), transpose_y=True),
    matmul("transpose-both", normal(4, 3), normal(5, 4), transpose_x=True, transpose_y=True),
    einsum("nchw,nwhu->nchu", normal(2, 3, 4, 5), normal(2, 5, 4, 6)),
    einsum("chw,whu->chu", normal(3, 4, 5), normal(5, 4, 6)),
    attention("no-mask", None),
    attention("boolean-mask", np.broadcast_to(BOOLEAN_MASK, (2, 3, 5, 7)).copy()),
    attention("floating-mask", normal(2, 3, 5, 7, seed=5)),
    attention("floating-mask-broadcast", normal(5, 7, seed=5)),
    *CONV,
    *TRANSPOSE,
)


@over(CASES)
def test_handler(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


TRANSPOSE_INPUTS = {
    "x": torch.ones(1, 1, 3, 3),
    "weight": torch.ones(1, 1, 2, 2),
    "strides": torch.tensor([2, 2]),
    "dilations": torch.tensor([1, 1]),
    "groups": torch.tensor(1),
}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"pad_type": "same"}, "allowed: valid, custom"),
        ({"pad_type": "valid", "output_shape": torch.tensor([1, 1, 7, 7])}, r"\[1, 1, 7, 7\] where"),
    ],
    ids=["same", "output-shape-that-disagrees"],
)
def test_conv_transpose_refuses(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(UnsupportedError, match=said):
        HANDLERS["conv_transpose"](OpInputs(TRANSPOSE_INPUTS | changed))


def test_convolution_of_a_matrix_is_refused() -> None:
    with pytest.raises(ContractError, match="rank 2"):
        HANDLERS["conv"](OpInputs({"x": torch.ones(2, 2), "weight": torch.ones(1, 1), "pad_type": "valid"}))
