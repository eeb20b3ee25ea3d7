"""Operations over whole axes: softmax, the normalisations, the reductions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from ....errors import UnsupportedError
from ..inputs import OpInputs, positive_axis

Reduction = Callable[[Tensor, list[int], bool], Tensor]


def _softmax(inputs: OpInputs) -> Tensor:
    return torch.softmax(inputs.tensor("x"), inputs.integer("axis"))


def _layer_norm(inputs: OpInputs) -> Tensor:
    """Normalise over `axes`; gamma and beta have the shape of those axes, in ascending order."""
    x, gamma, beta = inputs.tensor("x"), inputs.optional_tensor("gamma"), inputs.optional_tensor("beta")
    axes = sorted({positive_axis(axis, x.dim()) for axis in inputs.integers("axes")})
    others = [axis for axis in range(x.dim()) if axis not in axes]
    order = others + axes
    normalised = F.layer_norm(x.permute(order), [x.shape[axis] for axis in axes], gamma, beta, inputs.number("epsilon"))
    return normalised.permute([order.index(axis) for axis in range(x.dim())])


def _batch_norm(inputs: OpInputs) -> Tensor:
    return F.batch_norm(
        inputs.tensor("x"),
        inputs.tensor("mean"),
        inputs.tensor("variance"),
        inputs.optional_tensor("gamma"),
        inputs.optional_tensor("beta"),
        eps=inputs.number("epsilon"),
    )


def _instance_norm(inputs: OpInputs) -> Tensor:
    return F.instance_norm(
        inputs.tensor("x"),
        weight=inputs.optional_tensor("gamma"),
        bias=inputs.optional_tensor("beta"),
        eps=inputs.number("epsilon"),
    )


def _reduce(reduction: Reduction) -> Callable[[OpInputs], Tensor]:
    """Return a handler that reduces `axes`, all of them where none are given."""

    def handler(inputs: OpInputs) -> Tensor:
        x = inputs.tensor("x")
        axes = inputs.optional_integers("axes")
        if axes is None:
            axes = list(range(x.dim()))
        elif not axes:
            raise UnsupportedError("reduction over no axes, which torch and numpy read differently")
        return reduction(x, axes, inputs.flag("keep_dims"))

    return handler


def _sum(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return x.sum(axes, keepdim=keep, dtype=x.dtype)


def _sum_square(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return _sum(x * x, axes, keep)


def _product(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    for axis in sorted((positive_axis(axis, x.dim()) for axis in axes), reverse=True):
        x = x.prod(axis, keepdim=keep, dtype=x.dtype)
    return x


def _reduce_argument(find: Callable[[Tensor, int, bool], Tensor]) -> Callable[[OpInputs], Tensor]:
    def handler(inputs: OpInputs) -> Tensor:
        return find(inputs.tensor("x"), inputs.integer("axis"), inputs.flag("keep_dims")).int()

    return handler


HANDLERS: Mapping[str, Callable[[OpInputs], Tensor]] = {
    "batch_norm": _batch_norm,
    "instance_norm": _instance_norm,
    "layer_norm": _layer_norm,
    "reduce_argmax": _reduce_argument(torch.argmax),
    "reduce_argmin": _reduce_argument(torch.argmin),
    "reduce_l1_norm": _reduce(lambda x, axes, keep: _sum(x.abs(), axes, keep)),
    "reduce_l2_norm": _reduce(lambda x, axes, keep: _sum_square(x, axes, keep).sqrt()),
    "reduce_log_sum_exp": _reduce(lambda x, axes, keep: x.logsumexp(axes, keepdim=keep)),
    "reduce_max": _reduce(lambda x, axes, keep: x.amax(axes, keepdim=keep)),
    "reduce_mean": _reduce(lambda x, axes, keep: x.mean(axes, keepdim=keep)),
    "reduce_min": _reduce(lambda x, axes, keep: x.amin(axes, keepdim=keep)),
    "reduce_prod": _reduce(_product),
    "reduce_sum": _reduce(_sum),
    "reduce_sum_square": _reduce(_sum_square),
    "softmax": _softmax,
}
