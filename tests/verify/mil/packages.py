"""Writes small Core ML packages with coremltools' own builder, and reads its own value of an operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
from coremltools.converters.mil import Builder as mb
from coremltools.converters.mil.backend.mil.load import load as to_spec
from coremltools.converters.mil.mil import Function, Program, types

Body = Callable[..., Any]
TYPES = {"float16": types.fp16, "float32": types.fp32, "int32": types.int32}


def save_package(path: Path, body: Body, feeds: Mapping[str, np.ndarray], target: ct.target = ct.target.iOS16) -> Path:
    """Save the program `body(**feeds)` with the feeds as inputs, no pass applied; returns `path`.

    Outputs are named `y0`, `y1`, ...
    """
    program = build_program(lambda **inputs: named(body(**inputs)), feeds, target)
    return save_program(path, program, target)


def build_program(body: Body, feeds: Mapping[str, np.ndarray], target: ct.target) -> Program:
    inputs = {name: mb.placeholder(feed.shape, dtype=TYPES[feed.dtype.name]) for name, feed in feeds.items()}
    with Function(inputs, opset_version=target) as function:
        function.set_outputs(list(listed(body(**function.inputs))))
    program = Program()
    program.add_function("main", function)
    return program


def named(results: Any) -> Sequence[Any]:
    outputs = [exposed(var) for var in listed(results)]
    for index, var in enumerate(outputs):
        var.name = f"y{index}"
    return outputs


def exposed(var: Any) -> Any:
    """Return `var` in a type that an ML Program may give back: booleans and small integers are widened."""
    return var if var.dtype in TYPES.values() else mb.cast(x=var, dtype="int32")


def listed(results: Any) -> Sequence[Any]:
    return results if isinstance(results, (tuple, list)) else (results,)


def save_program(path: Path, program: Program, target: ct.target) -> Path:
    weights = path.with_suffix(".weights")
    weights.mkdir()
    spec = to_spec(program, str(weights), specification_version=target.value)
    ct.utils.save_spec(spec, str(path), weights_dir=str(weights))
    return path


def own_value(body: Body, feeds: Mapping[str, np.ndarray], target: ct.target) -> tuple[np.ndarray, ...]:
    """Return what coremltools' value inference (for weights, its decompression) says of `body` on constants."""
    with Function({}, opset_version=target):
        results = listed(body(**{name: mb.const(val=feed) for name, feed in feeds.items()}))
        return tuple(_value(var) for var in results)


def _value(var: Any) -> np.ndarray:
    value = var.val
    if value is None and hasattr(var.op, "materialized_val_inference"):
        value = var.op.materialized_val_inference()
    assert value is not None, f"coremltools infers no value for {var.op.op_type}"
    return np.asarray(value)
