"""Reading the ML program of a Core ML specification, and what this project promises of it.

Works on the saved protobuf itself, not on what the converter believes to have saved.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from coremltools.proto import MIL_pb2

from ..contract import GraphContract, TensorSpec
from ..errors import ContractError, ConversionError
from .coreml_convert import LARGEST_SIZE, is_image
from .coreml_passes import PERIODIC_OPS
from .tool import TRY_PINNED

DATA_DEPENDENT_OPS = frozenset(
    {
        "non_zero",
        "scatter",
        "scatter_nd",
        "scatter_along_axis",
        "topk",
        "argsort",
        "non_maximum_suppression",
        "cond",
        "while_loop",
        "make_list",
        "list_gather",
        "list_length",
        "list_read",
        "list_scatter",
        "list_write",
        "random_bernoulli",
        "random_categorical",
        "random_normal",
        "random_uniform",
        "read_state",
        "coreml_update_state",
    }
)
FLOATS = {
    MIL_pb2.DataType.FLOAT16: "float16",
    MIL_pb2.DataType.FLOAT32: "float32",
    MIL_pb2.DataType.FLOAT64: "float64",
}


@dataclass(frozen=True)
class Output:
    """One result of an op. `dtype` is None for what is not floating point; a None in `shape` is flexible."""

    name: str
    dtype: str | None
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class Op:
    """One op. `inputs` are the names of the values that it reads."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[Output, ...]


def program_ops(spec: Any) -> tuple[Op, ...]:
    """Return the ops of the one function, in order, constants included."""
    (function,) = spec.mlProgram.functions.values()
    (block,) = function.block_specializations.values()
    return tuple(_op(operation) for operation in block.operations)


def _op(operation: Any) -> Op:
    inputs = (binding.name for argument in operation.inputs.values() for binding in argument.arguments if binding.name)
    return Op(operation.type, tuple(inputs), tuple(_output(output) for output in operation.outputs))


def _output(output: Any) -> Output:
    tensor = output.type.tensorType
    shape = (size.constant.size if size.HasField("constant") else None for size in tensor.dimensions)
    return Output(output.name, FLOATS.get(tensor.dataType), tuple(shape))


def upstream(ops: tuple[Op, ...], kinds: tuple[str, ...]) -> tuple[Op, ...]:
    """Return the ops of these kinds and all that they are computed from, in the program's order."""
    wanted: set[str] = set()
    found: list[Op] = []
    for op in reversed(ops):
        if op.kind in kinds or any(output.name in wanted for output in op.outputs):
            found.append(op)
            wanted.update(op.inputs)
    return tuple(reversed(found))


def check_program(label: str, spec: Any, *, periodic_in_float32: bool) -> None:
    """Raise ConversionError if an op's shape depends on data, or a phase or what it is made of is not fp32.

    `periodic_in_float32`: the module has sines and cosines that must stay fp32, so there must be some.
    """
    ops = program_ops(spec)
    forbidden = sorted({op.kind for op in ops} & DATA_DEPENDENT_OPS)
    if forbidden:
        raise ConversionError(f"{label}: the program holds data-dependent ops {forbidden}; express them by comparison")
    chain = upstream(ops, PERIODIC_OPS)
    rounded = [output.name for op in chain for output in op.outputs if output.dtype == "float16"]
    if rounded or (periodic_in_float32 and not chain):
        raise ConversionError(
            f"{label}: the positional encoding must be computed in fp32, but {rounded or 'sin and cos'} "
            f"{'are fp16' if rounded else 'are missing'}; check the component's float32_modules"
        )


def check_interface(label: str, spec: Any, contract: GraphContract) -> None:
    """Raise ContractError unless the package's inputs and outputs are the contract's: names, kinds, sizes, dtype."""
    for side, wanted, found in (
        ("inputs", contract.inputs, spec.description.input),
        ("outputs", contract.outputs, spec.description.output),
    ):
        names = [feature.name for feature in found]
        if names != [tensor.name for tensor in wanted]:
            raise ContractError(
                f"{label}: {side} are {names}, the contract says {[tensor.name for tensor in wanted]}; {TRY_PINNED}"
            )
        for tensor, feature in zip(wanted, found, strict=True):
            expected = _expected(tensor, is_input=side == "inputs")
            if describe(feature) != expected:
                raise ContractError(
                    f"{label}: {tensor.name} is {describe(feature)}, the contract says {expected}; {TRY_PINNED}"
                )


def _expected(tensor: TensorSpec, *, is_input: bool) -> str:
    if is_input and is_image(tensor):
        return f"RGB image {tensor.shape[2]}x{tensor.shape[3]}"
    # An output of flexible size declares no shape at all.
    flexible = any(isinstance(axis, str) for axis in tensor.shape)
    if flexible and not is_input:
        return f"{tensor.dtype}"
    sizes = (f"1..{LARGEST_SIZE[axis]}" if isinstance(axis, str) else str(axis) for axis in tensor.shape)
    return f"{tensor.dtype} [{', '.join(sizes)}]"


def describe(feature: Any) -> str:
    """Return kind, dtype and sizes of a Core ML feature as text, such as `float32 [1..64, 1..256, 2]`."""
    kind = feature.type.WhichOneof("Type")
    if kind == "imageType":
        image = feature.type.imageType
        colour = image.ColorSpace.Name(image.colorSpace)
        return f"{colour} image {image.height}x{image.width}"
    if kind != "multiArrayType":
        return str(kind)
    array = feature.type.multiArrayType
    dtype = array.ArrayDataType.Name(array.dataType).lower()
    return f"{dtype} [{', '.join(sizes(array))}]" if array.shape or array.HasField("shapeRange") else dtype


def sizes(array: Any) -> Iterator[str]:
    """Yield what each axis of a Core ML multi-array allows, `lowest..highest` where it is flexible."""
    ranges = array.shapeRange.sizeRanges
    for position, size in enumerate(array.shape):
        low, high = (ranges[position].lowerBound, ranges[position].upperBound) if ranges else (size, size)
        yield str(size) if low == high else f"{low}..{high}"
