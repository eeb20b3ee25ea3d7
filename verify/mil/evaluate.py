"""Computes a program operation by operation in torch, with the rounding of its declared types.

The model of fp16 is storage: every operation accumulates in float32 and its output is rounded to the type
that the program declares. It catches errors of conversion, precision and quantization; it cannot see what
Core ML's own kernels do inside one operation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from ...errors import ContractError, RequestError, UnsupportedError
from .inputs import OpInputs, Value
from .ops import HANDLERS, VIEWS, Handler
from .program import Argument, Operation, Program, Reference, reason_of

Rounding = Literal["fp16", "none"]
OnTensor = Callable[[Operation, str, Tensor], None]
"""Called with each operation, the name of its output and the value before rounding, which holds for the call only.

What is written into the value goes on in its place, rounded like it unless the operation only gives a view.
"""

FLOAT16_MAX = 65504.0
# In elements: such a piece and its half stay in the processor's cache.
ROUNDING_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Peak:
    """The largest magnitude in one tensor before rounding; NaN if there is one in it."""

    tensor: str
    operation: str
    dtype: str
    value: float

    @property
    def overflows(self) -> bool:
        """Whether it is declared fp16 and does not fit."""
        return self.dtype == "fp16" and not self.value <= FLOAT16_MAX


class Evaluator:
    """Runs one program any number of times; compressed weights are decoded once, here.

    `rounding`: `fp16` rounds what the program declares fp16; `none` keeps float32 everywhere but in the stored
    weights, which isolates their error. Raises ContractError if a compressed weight does not decode.
    """

    def __init__(self, program: Program, rounding: Rounding = "fp16") -> None:
        if rounding not in get_args(Rounding):
            raise RequestError(f"rounding {rounding!r}; allowed: {', '.join(get_args(Rounding))}")
        self.program = program
        self.rounding = rounding
        compressed = [op for op in program.operations if op.type.startswith("constexpr_")]
        self._operations = [op for op in program.operations if not op.type.startswith("constexpr_")]
        self._constants = self._decoded(compressed)
        self._last_reads = self._releases()

    @torch.inference_mode()
    def run(self, feeds: Mapping[str, Tensor], on_tensor: OnTensor | None = None) -> dict[str, Tensor]:
        """Return the outputs by name for `feeds`, float32 or integer tensors by name; shapes come from the feeds.

        Raises ContractError if an operation fails, UnsupportedError for an attribute that is not evaluated.
        """
        live = self._constants | {port.name: self._fed(port.dtype, feeds[port.name]) for port in self.program.inputs}
        for operation, finished in zip(self._operations, self._last_reads, strict=True):
            for output, value in zip(operation.outputs, self._computed(operation, live), strict=True):
                if on_tensor is not None:
                    on_tensor(operation, output.name, value)
                if self.rounding == "fp16" and output.dtype == "fp16" and operation.type not in VIEWS:
                    round_to_float16_(value)
                live[output.name] = value
            for name in finished:
                del live[name]
        return {name: live[name] for name in self.program.outputs}

    def peaks(self, feeds: Mapping[str, Tensor]) -> tuple[Peak, ...]:
        """Return the peak of every floating tensor that is computed, in order."""
        peaks: list[Peak] = []

        def note(operation: Operation, name: str, value: Tensor) -> None:
            if value.is_floating_point() and value.numel() and operation.type not in VIEWS:
                dtype = next(output.dtype for output in operation.outputs if output.name == name)
                peaks.append(Peak(name, operation.type, dtype, _magnitude(value)))

        self.run(feeds, note)
        return tuple(peaks)

    def _fed(self, dtype: str, feed: Tensor) -> Tensor:
        return round_to_float16_(feed.clone()) if self.rounding == "fp16" and dtype == "fp16" else feed

    def _decoded(self, compressed: list[Operation]) -> dict[str, Tensor]:
        """Return all constants that the other operations read, weights rounded as they are declared."""
        constants = dict(self.program.constants)
        for operation in compressed:
            for output, value in zip(operation.outputs, self._computed(operation, constants), strict=True):
                half = output.dtype == "fp16"
                constants[output.name] = round_to_float16_(value) if half else value
        read = {name for op in self._operations for name in op.references()} | set(self.program.outputs)
        return {name: value for name, value in constants.items() if name in read}

    def _releases(self) -> list[list[str]]:
        """Return for each operation the names of the tensors that nothing needs after it."""
        kept = self._constants.keys() | set(self.program.outputs)
        releases: list[list[str]] = []
        for operation in reversed(self._operations):
            touched = dict.fromkeys((*operation.references(), *(output.name for output in operation.outputs)))
            releases.append([name for name in touched if name not in kept])
            kept = kept | touched.keys()
        return releases[::-1]

    def _computed(self, operation: Operation, live: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        inputs = OpInputs({name: _value(argument, live) for name, argument in operation.inputs.items()})
        where = f"{self.program.path.name}: {operation.label}"
        result = _guarded(where, HANDLERS[operation.type], inputs)
        values = result if isinstance(result, tuple) else (result,)
        if len(values) != len(operation.outputs):
            declared = len(operation.outputs)
            raise ContractError(f"{where}: {len(values)} results where {declared} are declared; export it again")
        return values


def _guarded(where: str, handler: Handler, inputs: OpInputs) -> Tensor | tuple[Tensor, ...]:
    try:
        return handler(inputs)
    except UnsupportedError as exc:
        raise UnsupportedError(f"{where}: {exc}; rewrite the model without it") from exc
    except (ContractError, ArithmeticError, IndexError, MemoryError, RuntimeError, TypeError, ValueError) as exc:
        # What torch raises for sizes that do not fit, which come from the package and from the feeds.
        raise ContractError(f"{where} failed ({reason_of(exc)}); feed other shapes, or export it again") from exc


def _value(argument: Argument, live: Mapping[str, Tensor]) -> Value:
    if isinstance(argument, Reference):
        return live[argument.name]
    if isinstance(argument, tuple):
        return tuple(live[item.name] for item in argument)
    return argument


def _magnitude(value: Tensor) -> float:
    low, high = torch.aminmax(value)
    return float(torch.maximum(low.abs(), high.abs()))


def round_to_float16_(value: Tensor) -> Tensor:
    """Round a float32 tensor in place to the nearest fp16 numbers, infinite beyond 65504, and return it.

    In place and piece by piece: allocating a second large tensor costs more than the conversion.
    """
    if not value.is_contiguous():
        return value.copy_(value.half())
    for piece in torch.split(value.view(-1), ROUNDING_CHUNK):
        piece.copy_(piece.half())
    return value
