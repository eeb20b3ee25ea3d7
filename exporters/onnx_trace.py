"""From a torch component to a raw ONNX graph, by the tracing exporter.

Measured on LiteMedSAM with torch 2.13 (encoder, decoder): tracing takes 3 s and 0.5 s and speaks opset 17 itself; the
`torch.export` based exporter takes 8 s and 7 s, writes opset 18, and cannot be brought to 17 (no adapter for Pad). The
trace is full of shape arithmetic, which `onnx_passes` removes: afterwards it has the fewer ops of the two.
"""

from __future__ import annotations

import io
import shutil
import tempfile
import warnings
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, cast
from weakref import WeakKeyDictionary

import onnx
import onnx_ir as ir
import torch

from ..errors import ConversionError, one_line
from ..models.components import LARGE_BYTES, weights_bytes
from .tool import TRY_PINNED

if TYPE_CHECKING:
    from ..models.components import Component

OPSET = 17


# A component is traced once for all precisions and targets that start from its graph.
_TRACED: WeakKeyDictionary[Component, bytes | Path] = WeakKeyDictionary()


def trace(component: Component, *, large_bytes: int | None = None) -> ir.Model:
    """Return the graph, tensors named and dynamic axes marked as in the contract; the caller may change it.

    `large_bytes`: weights above it are left on disk.

    Raises:
        ConversionError: torch cannot trace or translate the module.
    """
    if component not in _TRACED:
        limit = LARGE_BYTES if large_bytes is None else large_bytes
        _TRACED[component] = (
            _traced_to_disk(component) if weights_bytes(component.module) > limit else _traced_in_memory(component)
        )
    found = _TRACED[component]
    return ir.load(found) if isinstance(found, Path) else ir.from_proto(onnx.load_from_string(found))


def _traced_in_memory(component: Component) -> bytes:
    buffer = io.BytesIO()
    _trace_into(component, buffer)
    return buffer.getvalue()


def _traced_to_disk(component: Component) -> Path:
    """Return the file of the graph; read from there, weights are mapped and not loaded. It goes with the component.

    Torch writes weights into files of their own beside the graph where they would not fit into it.
    """
    folder = Path(tempfile.mkdtemp(prefix="sam-export-"))
    weakref.finalize(component, shutil.rmtree, folder, ignore_errors=True)
    path = folder / "trace.onnx"
    _trace_into(component, str(path))
    return path


def _trace_into(component: Component, destination: io.BytesIO | str) -> None:
    """Write the graph, to a stream or a path: the tracing exporter takes both, its annotation names the path alone.

    Torch folds constants here (batch norms into convolutions, transposed weights); it leaves gathers alone.
    """
    contract = component.contract
    axes = {
        spec.name: {index: size for index, size in enumerate(spec.shape) if isinstance(size, str)}
        for spec in (*contract.inputs, *contract.outputs)
    }
    try:
        with warnings.catch_warnings():
            # The tracer calls itself deprecated, and warns of every Python number made from a shape.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                component.module,
                component.example_inputs,
                cast("str", destination),
                input_names=list(contract.input_names),
                output_names=list(contract.output_names),
                dynamic_axes={name: found for name, found in axes.items() if found},
                opset_version=OPSET,
                dynamo=False,
            )
    except Exception as exc:  # the exporter raises RuntimeError, TypeError, its own OnnxExporterError and more
        raise ConversionError(
            f"{contract.component}: torch could not trace it to ONNX ({one_line(exc)}); {TRY_PINNED}"
        ) from exc
