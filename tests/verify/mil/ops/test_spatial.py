"""Handlers of ops/spatial.py, against torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from coremltools.converters.mil import Builder as mb

from sam_export.errors import ContractError, UnsupportedError
from sam_export.verify.mil.inputs import OpInputs
from sam_export.verify.mil.ops import HANDLERS

from ..cases import Case, check, normal, over

GRID = normal(2, 3, 7, 8)


def max_pool(variant: str, kernel: tuple[int, int], stride: tuple[int, int], pad: int = 0) -> Case:
    how: dict[str, Any] = {"pad_type": "custom", "pad": [pad] * 4} if pad else {"pad_type": "valid"}
    return Case(
        "max_pool",
        variant,
        lambda x: mb.max_pool(x=x, kernel_sizes=kernel, strides=stride, **how),
        {"x": GRID - 9},
        lambda x: F.max_pool2d(x, kernel, stride, pad),
    )


def upsample(variant: str, height: float, width: float) -> Case:
    return Case(
        "upsample_nearest_neighbor",
        variant,
        lambda x: mb.upsample_nearest_neighbor(x=x, scale_factor_height=height, scale_factor_width=width),
        {"x": GRID},
        lambda x: F.interpolate(x, scale_factor=(height, width), mode="nearest"),
    )


CASES = (
    max_pool("halved", (2, 2), (2, 2)),
    max_pool("sides_differ", (3, 2), (2, 1)),
    max_pool("padded_all_negative", (3, 3), (2, 2), pad=1),
    upsample("doubled", 2, 2),
    upsample("sides_differ", 3, 1),
    upsample("float_factors", 2.0, 2.0),
)


@over(CASES)
def test_value(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


def inputs_of_max_pool(**changed: Any) -> OpInputs:
    two = torch.tensor([2, 2])
    values = {"x": torch.zeros(1, 1, 4, 4), "pad_type": "valid", "kernel_sizes": two, "strides": two}
    return OpInputs(values | {"ceil_mode": torch.tensor(False)} | changed)


@pytest.mark.parametrize(
    "changed",
    [{"ceil_mode": torch.tensor(True)}, {"pad_type": "same"}, {"x": torch.zeros(1, 1, 4)}],
    ids=["ceil_mode", "same", "rank 3"],
)
def test_max_pool_refuses_what_it_does_not_know(changed: dict[str, Any]) -> None:
    assert HANDLERS["max_pool"](inputs_of_max_pool()).shape == (1, 1, 2, 2)
    with pytest.raises(UnsupportedError, match="max_pool"):
        HANDLERS["max_pool"](inputs_of_max_pool(**changed))


@pytest.mark.parametrize(("factor", "error"), [(1.5, UnsupportedError), (0.0, UnsupportedError), (1e6, ContractError)])
def test_upsampling_refuses_parts_of_cells_and_what_does_not_fit(factor: float, error: type[Exception]) -> None:
    values = {"x": torch.zeros(1, 1, 4, 4)} | {
        f"scale_factor_{side}": torch.tensor(factor) for side in ("height", "width")
    }
    with pytest.raises(error):
        HANDLERS["upsample_nearest_neighbor"](OpInputs(values))
