"""ONNX: one standard-ops graph for each component, opset 17, exactly to the contract.

Traced (`onnx_trace`), simplified (`onnx_passes`), made fp16 if asked (`onnx_float16`), checked (`onnx_checks`), brought
into the forms that onnxruntime is fast in (`onnx_rows`, `onnx_quantized`, `onnx_dynamic`, `onnx_masks`), saved.
Two exports of the same component are byte-identical.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..contract import Graph, Recipe
from ..optional import import_optional
from .target import ExportOptions
from .tool import TOOL, float32_layers, tool_version, weights_facts

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..models.components import Component

MAX_INLINE_BYTES = 2 * 10**9  # protobuf ends at 2 GiB, names and structure included


@dataclass(frozen=True)
class Onnx:
    name: str = "onnx"
    extra: str = "onnx"
    one_bundle: bool = False
    requires: tuple[str, ...] = ("onnx", "onnx_ir", "onnxruntime")
    precisions: tuple[str, ...] = ("fp32", "fp16")
    default_precisions: tuple[str, ...] = ("fp32",)

    def devices(self, precision: str) -> tuple[str, ...]:
        """Return the same for every precision: onnxruntime's own provider."""
        del precision
        return ("cpu",)

    def check_options(self, options: ExportOptions) -> None:
        """No option of this target is limited."""

    def export(self, component: Component, precision: str, out_dir: Path, options: ExportOptions) -> Graph:
        """Write `<component>.onnx`.

        Raises:
            ConversionError: torch cannot trace the module, or a pass left what must not be there.
            ContractError: the graph's tensors are not the contract's.
            MissingDependencyError: onnx or onnx-ir is not installed.
        """
        del options
        from .onnx_grouped import store_groups
        from .onnx_masks import skip_absent_masks
        from .onnx_rows import gather_rows

        model, recipe = build(component, precision)
        gather_rows(model)
        for_integer_kernels(model)
        model = store_groups(model)
        skip_absent_masks(model)
        path = out_dir / f"{component.contract.component}.onnx"
        files = save(model, path)
        return Graph(component.contract, self.name, recipe, path, files)


def for_integer_kernels(model: ir.Model) -> None:
    """Bring what is rounded into the forms that onnxruntime has kernels for; OpenVINO wants it as it was."""
    from .onnx_dynamic import multiply_in_integers
    from .onnx_quantized import round_biases

    round_biases(model)
    multiply_in_integers(model)


def build(component: Component, precision: str) -> tuple[ir.Model, Recipe]:
    """Return the finished graph in memory, and what the precision became."""
    for package in ("onnx", "onnx_ir"):
        import_optional(package, purpose="exporting ONNX graphs", extra="onnx")
    from .onnx_checks import check_domains, check_tensors
    from .onnx_passes import clean, infer_shapes
    from .onnx_trace import trace

    model = clean(trace(component))
    recipe = Recipe(precision, storage="fp32", compute="fp32")
    if precision == "fp16":
        recipe = _convert_to_float16(model, component)
        infer_shapes(model)
    recipe = component.recipe or recipe
    _describe(model, component, recipe.precision)
    check_domains(model, "export")
    check_tensors(model, component.contract)
    return model, recipe


def inline_bytes(model: ir.Model) -> int:
    """Return how large the weights are that a file of the graph would hold."""
    values = (value.const_value for value in model.graph.initializers.values())
    return sum(value.nbytes for value in values if value is not None)


def save(model: ir.Model, path: Path, *, max_inline_bytes: int | None = None) -> tuple[str, ...]:
    """Write the graph, weights inside or, above the limit, in one file beside it; return the names of the files."""
    import onnx_ir as ir

    from .onnx_checks import check_file

    limit = MAX_INLINE_BYTES if max_inline_bytes is None else max_inline_bytes
    weights = f"{path.name}.data" if inline_bytes(model) > limit else None
    if weights is None:
        # What a large trace left on disk would be written as a reference to it.
        ir.external_data.load_to_model(model)
    ir.save(model, path, external_data=weights)
    check_file(path)
    return (path.name,) if weights is None else (path.name, weights)


def _convert_to_float16(model: ir.Model, component: Component) -> Recipe:
    from .module_scopes import ops_of_modules
    from .onnx_float16 import to_float16

    names = [str(node.name) for node in model.graph]
    to_float16(model, ops_of_modules(names, component.float32_modules, f"{component.contract.component} onnx fp16"))
    return Recipe(
        "fp16",
        storage="fp16",
        compute="fp32",
        layers=float32_layers(component),
        notes=(
            "fp16 storage: onnxruntime's CPU provider computes most fp16 ops in fp32 and rounds between them; "
            "providers with fp16 kernels compute in fp16",
        ),
    )


def _describe(model: ir.Model, component: Component, precision: str) -> None:
    """Write a sentence for each tensor and where the file came from; drop what the tracer noted of its source."""
    contract = component.contract
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    from .onnx_checks import IR_VERSION

    ClearMetadataAndDocStringPass()(model)
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version = TOOL, tool_version()
    model.graph.name = contract.component
    for spec, value in zip(
        (*contract.inputs, *contract.outputs), (*model.graph.inputs, *model.graph.outputs), strict=True
    ):
        value.doc_string = spec.meaning
    facts = {"component": contract.component, "precision": precision, **weights_facts(component)}
    model.metadata_props.update({f"sam_export.{key}": value for key, value in facts.items()})
