"""From a torch component to a raw ONNX graph, by the tracing exporter.

Measured on LiteMedSAM with torch 2.13 (encoder, decoder): tracing takes 3 s and 0.5 s and speaks opset 17 itself; the
`torch.export` based exporter takes 8 s and 7 s, writes opset 18, and cannot be brought to 17 (no adapter for Pad). The
trace is full of shape arithmetic, which `onnx_passes` removes: afterwards it has the fewer ops of the two.
"""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import onnx
import onnx_ir as ir
import torch

from ..errors import ConversionError

if TYPE_CHECKING:
    from ..models.components import Component

OPSET = 17


# A component is traced once for all precisions and targets that start from its graph.
_TRACED: WeakKeyDictionary[Component, bytes] = WeakKeyDictionary()


def trace(component: Component) -> ir.Model:
    """Return the graph, tensors named and dynamic axes marked as in the contract; the caller may change it.

    Raises:
        ConversionError: torch cannot trace or translate the module.
    """
    if component not in _TRACED:
        _TRACED[component] = _traced(component)
    return ir.from_proto(onnx.load_from_string(_TRACED[component]))


def _traced(component: Component) -> bytes:
    """Return the serialised graph.

    Torch folds constants here (batch norms into convolutions, transposed weights); it leaves gathers alone.
    """
    contract = component.contract
    axes = {
        spec.name: {index: size for index, size in enumerate(spec.shape) if isinstance(size, str)}
        for spec in (*contract.inputs, *contract.outputs)
    }
    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings():
            # The tracer calls itself deprecated, and warns of every Python number made from a shape.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                component.module,
                component.example_inputs,
                buffer,  # type: ignore[arg-type]  # the tracing exporter takes a stream, its annotation says path
                input_names=list(contract.input_names),
                output_names=list(contract.output_names),
                dynamic_axes={name: found for name, found in axes.items() if found},
                opset_version=OPSET,
                dynamo=False,
            )
    except Exception as exc:  # the exporter raises RuntimeError, TypeError, its own OnnxExporterError and more
        raise ConversionError(f"{contract.component}: torch could not trace it to ONNX ({exc})") from exc
    return buffer.getvalue()
