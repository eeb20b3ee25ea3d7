"""What must hold of every ONNX graph that leaves this package; checked after every pass and on the saved file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import onnx
import onnx_ir as ir

from ..contract import GraphContract, TensorSpec
from ..errors import ContractError, ConversionError, one_line
from .tool import TRY_PINNED

IR_VERSION = 8  # the oldest that opset 17 is valid in
STANDARD = frozenset({""})


def check_domains(model: ir.Model, step: str, allowed: frozenset[str] = STANDARD) -> None:
    """Raise ConversionError if `step` left an op of another domain than allowed, or imports one."""
    found = {node.domain for node in model.graph} | set(model.opset_imports)
    if found - allowed:
        ops = sorted({f"{node.domain}.{node.op_type}" for node in model.graph if node.domain not in allowed})
        raise ConversionError(
            f"{model.graph.name}: {step} left the op domains {sorted(found - allowed)} ({', '.join(ops) or 'no op'}), "
            f"allowed is {sorted(allowed)}; the graph would not run everywhere"
        )


def check_types(model: ir.Model) -> None:
    """Raise ConversionError unless the type of every value is known: onnx-ir only logs a failed shape inference."""
    untyped = [output.name for node in model.graph for output in node.outputs if output.dtype is None]
    if untyped:
        raise ConversionError(
            f"{model.graph.name}: shape inference left {len(untyped)} values without a type, the first {untyped[0]!r}; "
            f"{TRY_PINNED}"
        )


def check_tensors(model: ir.Model, contract: GraphContract) -> None:
    """Raise ContractError unless inputs and outputs are the contract's: names, order, dtypes, shapes, axis names."""
    wanted = _described(contract.inputs), _described(contract.outputs)
    found = _declared(model.graph.inputs), _declared(model.graph.outputs)
    if found != wanted:
        raise ContractError(
            f"{contract.component} onnx: tensors are {found[0]} -> {found[1]}, "
            f"the contract says {wanted[0]} -> {wanted[1]}; {TRY_PINNED}"
        )


def check_file(path: Path) -> None:
    """Raise ConversionError unless onnx's own full check (types and shapes included) accepts the file."""
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as exc:
        raise ConversionError(f"{path.name}: not a valid ONNX graph ({one_line(exc)}); {TRY_PINNED}") from exc


def _described(specs: tuple[TensorSpec, ...]) -> list[str]:
    return [f"{spec.name}: {spec.dtype}[{', '.join(map(str, spec.shape))}]" for spec in specs]


def _declared(values: Iterable[ir.Value]) -> list[str]:
    """Describe values as `_described` does; shapes and types that are missing show as such."""
    return [
        f"{value.name}: {'?' if value.dtype is None else value.dtype.numpy()}"
        f"[{', '.join(map(str, value.shape)) if value.shape is not None else '?'}]"
        for value in values
    ]
