"""From a component to a Core ML model in memory: torch.export, then coremltools.

`torch.export` rather than `torch.jit.trace`, by outcome on the mask decoder: with B and N dynamic its program
computes two sizes (2 `shape`, 2 `gather` ops) where the trace computes them anew before every reshape
(19 and 37); each node knows the module it comes from; and the trace is deprecated in torch.
"""

from __future__ import annotations

import traceback
from typing import Any
from weakref import WeakKeyDictionary

import coremltools as ct
import numpy as np
import torch
from torch.export import Dim, ExportedProgram

from ..contract import GraphContract, TensorSpec
from ..errors import ConversionError, UnsupportedError, one_line
from ..models.components import Component
from .coreml_attention import scaled_dot_product_attention
from .coreml_gelu import gelu
from .coreml_passes import Fp16Selector, pass_pipeline
from .coreml_quiet import quiet_conversion
from .coreml_registry import translates_instead
from .coreml_rounding import require_ios
from .tool import TRY_PINNED

# Core ML wants a bound for every flexible size. 64 prompts are what SAM's own mask generator decodes at once.
LARGEST_SIZE = {"B": 64, "N": 256}
# What Core ML prepares first: one prompt, a box.
DEFAULT_SIZE = {"B": 1, "N": 2}
DEPLOYMENT_TARGETS = {16: ct.target.iOS16, 17: ct.target.iOS17, 18: ct.target.iOS18}
for translation in (scaled_dot_product_attention, gelu):
    translates_instead(translation)
# A component is traced once for all precisions: coremltools reads the program and leaves it as it is.
_PROGRAMS: WeakKeyDictionary[Component, ExportedProgram] = WeakKeyDictionary()


def convert(component: Component, precision: str, minimum_ios: int) -> ct.models.MLModel:
    """Return the component as an ML program, its weights in a temporary package.

    Raises:
        ConversionError: torch or coremltools could not; their exception is the cause.
        UnsupportedError: the component rounds what it computes, which the oldest iOS cannot.
    """
    with quiet_conversion():
        try:
            program = _export(component)
            require_ios(f"{component.contract.component} coreml {precision}", program, minimum_ios)
            return _convert(component, program, precision, minimum_ios)
        except UnsupportedError:
            raise
        except Exception as exc:  # torch and coremltools raise about anything
            # Their frames hold the model and a temporary folder, which would outlive this call with the error.
            traceback.clear_frames(exc.__traceback__)
            raise ConversionError(
                f"{component.contract.component} coreml {precision}: conversion for iOS {minimum_ios} failed with "
                f"{type(exc).__name__}: {one_line(exc)}; {TRY_PINNED}"
            ) from exc


def _export(component: Component) -> ExportedProgram:
    if component not in _PROGRAMS:
        _PROGRAMS[component] = _exported(component)
    return _PROGRAMS[component]


def _exported(component: Component) -> ExportedProgram:
    dims = {axis: Dim(axis, min=1, max=largest) for axis, largest in LARGEST_SIZE.items()}
    dynamic = tuple(
        {position: dims[axis] for position, axis in enumerate(spec.shape) if isinstance(axis, str)}
        for spec in component.contract.inputs
    )
    with torch.no_grad():
        exported = torch.export.export(component.module, component.example_inputs, dynamic_shapes=dynamic)
        program: ExportedProgram = exported.run_decompositions({})
        return program


def _convert(component: Component, program: ExportedProgram, precision: str, minimum_ios: int) -> ct.models.MLModel:
    selector = Fp16Selector(float32_nodes(program, component.float32_modules))
    return ct.convert(
        program,
        inputs=_inputs(component.contract),
        outputs=[ct.TensorType(spec.name, dtype=np.float32) for spec in component.contract.outputs],
        convert_to="mlprogram",
        minimum_deployment_target=DEPLOYMENT_TARGETS[minimum_ios],
        compute_precision=ct.transform.FP16ComputePrecision(selector) if precision == "fp16" else ct.precision.FLOAT32,
        pass_pipeline=pass_pipeline(),
        skip_model_load=True,
    )


def _inputs(contract: GraphContract) -> list[Any]:
    """One RangeDim per axis name, shared: separate ones would be unrelated sizes to the converter.

    They have no symbols of their own: coremltools keeps a name taken after a conversion that failed.
    """
    ranges = {axis: ct.RangeDim(1, largest, default=DEFAULT_SIZE[axis]) for axis, largest in LARGEST_SIZE.items()}
    return [_input(spec, ranges) for spec in contract.inputs]


def _input(spec: TensorSpec, ranges: dict[str, Any]) -> Any:
    if is_image(spec):
        return ct.ImageType(name=spec.name, shape=spec.shape, color_layout=ct.colorlayout.RGB)
    shape = tuple(ranges[axis] if isinstance(axis, str) else axis for axis in spec.shape)
    return ct.TensorType(spec.name, shape=shape, dtype=np.float32)


def is_image(spec: TensorSpec) -> bool:
    """A picture is an image to Core ML, so that an app can hand over a camera frame."""
    return spec.name == "image"


def float32_nodes(program: ExportedProgram, modules: tuple[str, ...]) -> frozenset[str]:
    """Return the names of the torch nodes that were traced inside `modules` (dotted names)."""
    return frozenset(node.name for node in program.graph.nodes if _is_inside(node, modules))


def _is_inside(node: torch.fx.Node, modules: tuple[str, ...]) -> bool:
    stack = node.meta.get("nn_module_stack") or {}
    return any(path == module or path.startswith(f"{module}.") for path, _ in stack.values() for module in modules)
