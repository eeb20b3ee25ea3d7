"""Operations on each element: arithmetic, comparisons, activations, casts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from ....errors import UnsupportedError
from ..inputs import OpInputs

Elementwise = Callable[[OpInputs], Tensor]

# uint16 has hardly any kernels in torch; int32 holds its values.
CAST_TYPES: Mapping[str, torch.dtype] = {
    "fp16": torch.float32,
    "fp32": torch.float32,
    "int32": torch.int32,
    "int16": torch.int16,
    "uint16": torch.int32,
    "int8": torch.int8,
    "uint8": torch.uint8,
    "bool": torch.bool,
}


def _unary(function: Callable[[Tensor], Tensor]) -> Elementwise:
    return lambda inputs: function(inputs.tensor("x"))


def _binary(function: Callable[[Tensor, Tensor], Tensor]) -> Elementwise:
    return lambda inputs: function(inputs.tensor("x"), inputs.tensor("y"))


def _real_div(inputs: OpInputs) -> Tensor:
    """Divide. MIL declares integers for integers, and says nothing of remainders: those are refused."""
    x, y = inputs.tensor("x"), inputs.tensor("y")
    if x.is_floating_point():
        return x / y
    quotient = torch.div(x, y, rounding_mode="trunc")
    if (quotient * y != x).any():
        raise UnsupportedError("real_div of integers with a remainder; use floor_div or floating numbers")
    return quotient


def _inverse(inputs: OpInputs) -> Tensor:
    return torch.reciprocal(inputs.tensor("x") + inputs.number("epsilon"))


def _log(inputs: OpInputs) -> Tensor:
    return torch.log(inputs.tensor("x") + inputs.number("epsilon"))


def _rsqrt(inputs: OpInputs) -> Tensor:
    return torch.rsqrt(inputs.tensor("x") + inputs.number("epsilon"))


def _clip(inputs: OpInputs) -> Tensor:
    return inputs.tensor("x").clamp(inputs.number("alpha"), inputs.number("beta"))


def _leaky_relu(inputs: OpInputs) -> Tensor:
    return F.leaky_relu(inputs.tensor("x"), inputs.number("alpha"))


def _gelu(inputs: OpInputs) -> Tensor:
    x, mode = inputs.tensor("x"), inputs.text("mode")
    if mode == "EXACT":
        return F.gelu(x)
    if mode == "TANH_APPROXIMATION":
        return F.gelu(x, approximate="tanh")
    if mode == "SIGMOID_APPROXIMATION":
        return x * torch.sigmoid(1.702 * x)
    raise UnsupportedError(f"gelu: mode {mode!r}; allowed: EXACT, TANH_APPROXIMATION, SIGMOID_APPROXIMATION")


def _select(inputs: OpInputs) -> Tensor:
    return torch.where(inputs.tensor("cond").bool(), inputs.tensor("a"), inputs.tensor("b"))


def _cast(inputs: OpInputs) -> Tensor:
    """Convert; towards zero from floating to integer. A cast to fp16 is rounded by the evaluator."""
    name = inputs.text("dtype")
    if name not in CAST_TYPES:
        raise UnsupportedError(f"cast: dtype {name!r}; allowed: {', '.join(CAST_TYPES)}")
    return inputs.tensor("x").to(CAST_TYPES[name], copy=True)


HANDLERS: Mapping[str, Elementwise] = {
    "abs": _unary(torch.abs),
    "add": _binary(torch.add),
    "cast": _cast,
    "ceil": _unary(torch.ceil),
    "clip": _clip,
    "cos": _unary(torch.cos),
    "equal": _binary(torch.eq),
    "erf": _unary(torch.erf),
    "exp": _unary(torch.exp),
    "exp2": _unary(torch.exp2),
    "floor": _unary(torch.floor),
    "floor_div": _binary(torch.floor_divide),
    "gelu": _gelu,
    "greater": _binary(torch.gt),
    "greater_equal": _binary(torch.ge),
    "identity": lambda inputs: inputs.tensor("x"),
    "inverse": _inverse,
    "leaky_relu": _leaky_relu,
    "less": _binary(torch.lt),
    "less_equal": _binary(torch.le),
    "log": _log,
    "logical_and": _binary(torch.logical_and),
    "logical_not": _unary(torch.logical_not),
    "logical_or": _binary(torch.logical_or),
    "logical_xor": _binary(torch.logical_xor),
    "maximum": _binary(torch.maximum),
    "minimum": _binary(torch.minimum),
    "mod": _binary(torch.remainder),
    "mul": _binary(torch.mul),
    "not_equal": _binary(torch.ne),
    "pow": _binary(torch.pow),
    "real_div": _real_div,
    "relu": _unary(torch.relu),
    "relu6": _unary(F.relu6),
    "round": _unary(torch.round),
    "rsqrt": _rsqrt,
    "select": _select,
    "sigmoid": _unary(torch.sigmoid),
    "sign": _unary(torch.sign),
    "silu": _unary(F.silu),
    "sin": _unary(torch.sin),
    "softplus": _unary(F.softplus),
    "sqrt": _unary(torch.sqrt),
    "square": _unary(torch.square),
    "sub": _binary(torch.sub),
    "tan": _unary(torch.tan),
    "tanh": _unary(torch.tanh),
}
VIEWS: frozenset[str] = frozenset({"identity"})
