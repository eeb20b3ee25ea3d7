"""Reads a saved `.mlpackage` into a plain list of operations; the one module here that imports coremltools.

coremltools' own loader parses the program, infers every type again and compares it with the declared one, so
a package that passes is consistent. What it raises on a damaged package becomes a `BundleError`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from ...errors import BundleError, SamExportError, UnsupportedError
from ...optional import import_coremltools
from ...runtimes.soundness import require_sound_package
from .ports import Port, read_port

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Reference:
    """A tensor by the name of the input, constant or operation output that it is."""

    name: str


Argument = Reference | str | tuple[Reference, ...]


@dataclass(frozen=True, slots=True)
class Output:
    """One output of an operation; `dtype` as the program declares it: fp16, fp32, int32, bool, ..."""

    name: str
    dtype: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: its MIL type, its given inputs by name, its outputs in order."""

    type: str
    inputs: Mapping[str, Argument]
    outputs: tuple[Output, ...]

    @property
    def label(self) -> str:
        return f"operation {self.type!r} giving {self.outputs[0].name!r}"

    def references(self) -> Iterator[str]:
        """Yield the name of every tensor that is read."""
        for argument in self.inputs.values():
            if isinstance(argument, Reference):
                yield argument.name
            elif isinstance(argument, tuple):
                yield from (item.name for item in argument)


@dataclass(frozen=True, slots=True)
class Program:
    """The function `main` of a package: operations in the order in which they can be computed.

    `constants`: by name, floating ones in float32, compressed weights still compressed.
    """

    path: Path
    specification_version: int
    coremltools_version: str
    inputs: tuple[Port, ...]
    outputs: tuple[str, ...]
    constants: Mapping[str, Tensor]
    operations: tuple[Operation, ...]


def load_program(path: Path, known: Collection[str]) -> Program:
    """Return the program of the package at `path`, whose operations must all be in `known`.

    Raises:
        BundleError: `path` is not a package, or a damaged one.
        UnsupportedError: another kind of model, several functions, or an operation that is not known.
        MissingDependencyError: coremltools is not installed.
    """
    require_sound_package(path)
    coremltools = import_coremltools(purpose="evaluating a Core ML package", extra="coreml")
    model = _guarded(path, lambda: coremltools.models.MLModel(str(path), skip_model_load=True))
    spec = model.get_spec()
    _require_known(path, spec, known)
    function = _guarded(path, lambda: _loaded(spec, model.weights_dir))
    return _guarded(path, lambda: _program(path, spec, coremltools.__version__, function))


def _guarded(path: Path, read: Callable[[], Result]) -> Result:
    try:
        return read()
    except SamExportError:
        raise
    except Exception as exc:  # a hostile file makes protobuf, numpy and coremltools raise about anything
        raise BundleError(f"{path.name}: damaged Core ML package ({reason_of(exc)}); export it again") from exc


def reason_of(exc: Exception) -> str:
    """Return the first line of a foreign exception, or its type where it says nothing."""
    return (str(exc).strip() or type(exc).__name__).splitlines()[0]


def _require_known(path: Path, spec: Any, known: Collection[str]) -> None:
    """Refuse unknown operations before anything of the program is executed by the loader's value inference."""
    kind = spec.WhichOneof("Type")
    if kind != "mlProgram":
        raise UnsupportedError(f"{path.name}: a {kind} model; only an mlProgram (iOS 15 and later) can be evaluated")
    functions = spec.mlProgram.functions
    if list(functions) != ["main"]:
        raise UnsupportedError(f"{path.name}: functions {sorted(functions)}; only a single 'main' can be evaluated")
    function = functions["main"]
    if function.opset not in function.block_specializations:  # reading it would add an empty one
        raise BundleError(f"{path.name}: damaged Core ML package (no block for {function.opset!r}); export it again")
    for operation in function.block_specializations[function.opset].operations:
        if operation.type != "const" and operation.type not in known:
            output = operation.outputs[0].name if operation.outputs else "nothing"
            raise UnsupportedError(
                f"{path.name}: unknown operation {operation.type!r} giving {output!r}; "
                "add a tested handler to verify/mil/ops, or rewrite the model without it"
            )


def _loaded(spec: Any, weights_dir: str | None) -> Any:
    from coremltools.converters.mil.frontend.milproto.load import load

    return load(spec, spec.specificationVersion, weights_dir or "").functions["main"]


def _program(path: Path, spec: Any, version: str, function: Any) -> Program:
    constants: dict[str, Tensor] = {}
    operations = tuple(_operation(op, constants) for op in function.operations if op.op_type != "const")
    for var in function.outputs:
        _argument(var, constants)
    descriptions = {description.name: description for description in spec.description.input}
    return Program(
        path=path,
        specification_version=spec.specificationVersion,
        coremltools_version=version,
        inputs=tuple(read_port(descriptions[name], _dtype(var)) for name, var in function.inputs.items()),
        outputs=tuple(var.name for var in function.outputs),
        constants=constants,
        operations=operations,
    )


def _operation(op: Any, constants: dict[str, Tensor]) -> Operation:
    """Return the typed view of `op`; constants that it reads are added to `constants`."""
    given = {name: value for name, value in op.inputs.items() if value is not None and not name.startswith("_")}
    inputs = {name: _argument(value, constants) for name, value in given.items()}
    return Operation(op.op_type, inputs, tuple(Output(var.name, _dtype(var)) for var in op.outputs))


def _argument(value: Any, constants: dict[str, Tensor]) -> Argument:
    if isinstance(value, (list, tuple)):
        return tuple(_reference(item, constants) for item in value)
    if isinstance(value.val, str):
        return str(value.val)
    return _reference(value, constants)


def _reference(var: Any, constants: dict[str, Tensor]) -> Reference:
    # A constant is an output of `const`; a computed tensor may have a value too, from coremltools' own inference.
    if var.op is not None and var.op.op_type == "const" and var.name not in constants:
        constants[var.name] = _decoded(var.val)
    return Reference(var.name)


def _decoded(value: Any) -> Tensor:
    """Return a constant as a tensor of its own: fp16 in float32, sub-byte integers in a byte, others signed."""
    array = np.asarray(value)
    held = {"float16": np.float32, "float64": np.float32, "uint16": np.int32, "uint32": np.int64, "uint64": np.int64}
    return torch.from_numpy(np.array(array, dtype=held.get(array.dtype.name, array.dtype.type), order="C"))


def _dtype(var: Any) -> str:
    from coremltools.converters.mil.mil import types

    return str(types.builtin_to_string(var.dtype))
