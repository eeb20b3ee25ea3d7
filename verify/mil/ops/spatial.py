"""Operations on the neighbourhood of each cell: the largest of a window, and enlarging by repetition."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch.nn.functional as F
from torch import Tensor

from ....errors import UnsupportedError
from ..inputs import OpInputs
from .shape import check_size, last_axis_first


def _max_pool(inputs: OpInputs) -> Tensor:
    """Return the largest value of each window of [B, C, H, W]; what `pad` adds is smaller than any number."""
    x, kind = inputs.tensor("x"), inputs.text("pad_type")
    if x.dim() != 4 or kind not in ("valid", "custom") or inputs.flag("ceil_mode"):
        raise UnsupportedError(
            f"max_pool: rank {x.dim()}, pad_type {kind!r}, ceil_mode {inputs.flag('ceil_mode')}; allowed: rank 4, "
            "pad_type valid or custom, sizes rounded down"
        )
    if kind == "custom":
        x = F.pad(x, last_axis_first(inputs.integers("pad")), value=-float("inf"))
    return F.max_pool2d(x, inputs.integers("kernel_sizes"), inputs.integers("strides"))


def _upsample_nearest_neighbor(inputs: OpInputs) -> Tensor:
    """Repeat every cell of [..., H, W] as often as each side's factor says."""
    factors = [inputs.number(f"scale_factor_{side}") for side in ("height", "width")]
    if not all(factor.is_integer() and factor >= 1 for factor in factors):
        raise UnsupportedError(f"upsample_nearest_neighbor: factors {factors}; allowed: whole numbers from 1")
    x, (height, width) = inputs.tensor("x"), map(int, factors)
    check_size([*x.shape[:-2], x.shape[-2] * height, x.shape[-1] * width])
    return x.repeat_interleave(height, -2).repeat_interleave(width, -1)


HANDLERS: Mapping[str, Callable[[OpInputs], Tensor]] = {
    "max_pool": _max_pool,
    "upsample_nearest_neighbor": _upsample_nearest_neighbor,
}
