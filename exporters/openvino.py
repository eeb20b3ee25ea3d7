"""OpenVINO: an IR (`.xml` and `.bin`) for each component, made from the finished ONNX graph.

Measured on LiteMedSAM's encoder, against `openvino.convert_model` on the torch module: 4 s instead of 44 s, 23.2 MB
instead of 27.7 MB (torch's way stores the attention biases expanded), the same execution graph and speed.

fp16 stores the weights as fp16 and leaves the compute precision to whoever compiles; ops that must be computed in fp32
are marked so in the IR itself, with their constants, and devices that compute in fp16 honour the mark. bf16 is the same
file with another promise: it was measured computing in bf16, and is opened so.
"""

from __future__ import annotations

import io
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..contract import Graph, Recipe
from ..errors import ConversionError, OutputError, one_line
from ..optional import import_openvino
from .target import ExportOptions
from .tool import TOOL, TRY_PINNED, float32_layers, tool_version, weights_facts

if TYPE_CHECKING:
    from ..models.components import Component

# What each precision that stores half the bytes is computed in, and what its bundle says of that.
COMPUTE_OF_HALF = {
    "fp16": (
        "fp32",
        "fp16 storage: the engine here pins computation to fp32 when it compiles, whatever the CPU offers",
    ),
    "bf16": (
        "bf16",
        "fp16 storage, computed in bf16: for processors that have it; compute_precision='fp32' opens the bundle on "
        "others, more exactly and slower",
    ),
}
# How many neighbouring values of a row share a range. LiteMedSAM's encoder with 8-bit weights, SNR of its embeddings:
# 28.1 dB with 64, 30.9 dB with no rounding of values; larger groups than a head's are not taken by its kernels.
DYNAMIC_GROUP = "64"


@dataclass(frozen=True)
class OpenVino:
    name: str = "openvino"
    extra: str = "openvino"
    one_bundle: bool = False
    requires: tuple[str, ...] = ("onnx", "onnx_ir", "openvino")
    precisions: tuple[str, ...] = ("fp32", "fp16", "bf16")
    default_precisions: tuple[str, ...] = ("fp32",)

    def devices(self, precision: str) -> tuple[str, ...]:
        """Return the same for every precision: OpenVINO's own plugin."""
        del precision
        return ("cpu",)

    def check_options(self, options: ExportOptions) -> None:
        """No option of this target is limited."""

    def export(self, component: Component, precision: str, out_dir: Path, options: ExportOptions) -> Graph:
        """Write `<component>.xml` and `<component>.bin`.

        Raises:
            ConversionError: the graph cannot be made, or a module that must stay fp32 is not to be found in it.
            ContractError: the graph's tensors are not the contract's.
            MissingDependencyError: openvino, onnx or onnx-ir is not installed.
        """
        del options
        openvino = import_openvino(purpose="exporting OpenVINO graphs", extra=self.extra)
        model = _convert(openvino, component)
        recipe = component.recipe or _recipe(component, precision)
        _describe(model, component, recipe.precision)
        path = out_dir / f"{component.contract.component}.xml"
        halved = precision in COMPUTE_OF_HALF
        if halved or recipe.compute == "bf16":
            model = _marked_float32(openvino, model, component)
        _save(openvino, model, path, compress_to_fp16=halved)
        return Graph(component.contract, self.name, recipe, path, (path.name, f"{path.stem}.bin"))


def _recipe(component: Component, precision: str) -> Recipe:
    if precision not in COMPUTE_OF_HALF:
        return Recipe(precision, storage=precision, compute="fp32")
    compute, note = COMPUTE_OF_HALF[precision]
    return Recipe(
        precision,
        storage="fp16",
        compute=compute,
        layers=float32_layers(component),
        notes=(note,),
    )


def _convert(openvino: ModuleType, component: Component) -> Any:
    """Return the simplified `openvino.Model` of the component's ONNX graph."""
    from .onnx import build
    from .onnx_dynamic import take_out_rounding
    from .onnx_grouped import store_groups
    from .openvino_passes import name_by_position, simplify

    onnx_model, _ = build(component, "fp32")
    dynamic = take_out_rounding(onnx_model)
    onnx_model = store_groups(onnx_model)
    try:
        model = _read(openvino, onnx_model)
        simplify(openvino, model)
    except RuntimeError as exc:
        raise ConversionError(
            f"{component.contract.component} openvino: cannot convert its ONNX graph ({one_line(exc)}); {TRY_PINNED}"
        ) from exc
    name_by_position(model)
    if dynamic:
        model.set_rt_info(DYNAMIC_GROUP, ["runtime_options", "DYNAMIC_QUANTIZATION_GROUP_SIZE"])
    return model


def _read(openvino: ModuleType, onnx_model: Any) -> Any:
    """Return the graph as OpenVINO reads it; one above protobuf's limit by way of a file."""
    import onnx_ir as ir

    from .onnx import MAX_INLINE_BYTES, inline_bytes, save

    core = openvino.Core()
    if inline_bytes(onnx_model) <= MAX_INLINE_BYTES:
        return core.read_model(io.BytesIO(bytes(ir.to_proto(onnx_model).SerializeToString())))
    core.set_property({"ENABLE_MMAP": False})  # the weights must outlive the folder
    with tempfile.TemporaryDirectory(prefix="sam-export-") as folder:
        save(onnx_model, Path(folder) / "graph.onnx")
        return core.read_model(Path(folder) / "graph.onnx")


def _describe(model: Any, component: Component, precision: str) -> None:
    """Write a sentence for each tensor and where the file came from into the model's `rt_info`."""
    contract = component.contract
    model.set_friendly_name(contract.component)
    facts = {"component": contract.component, "precision": precision, "tool": f"{TOOL} {tool_version()}"}
    facts |= weights_facts(component)
    for key, value in facts.items():
        model.set_rt_info(value, ["sam_export", key])
    for spec in (*contract.inputs, *contract.outputs):
        model.set_rt_info(spec.meaning, ["sam_export", "tensors", spec.name])


def _marked_float32(openvino: ModuleType, model: Any, component: Component) -> Any:
    """Return the model with the marks of `float32_modules`, by way of a file: only the IR's reader can set them."""
    from .openvino_passes import mark_float32

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.xml"
        _save(openvino, model, path, compress_to_fp16=False)
        mark_float32(path, component.float32_modules, f"{component.contract.component} openvino")
        # The reader maps the weights from the file; a copy must outlive the folder.
        return openvino.Core().read_model(path.read_bytes(), _tensor(openvino, path.with_suffix(".bin").read_bytes()))


def _save(openvino: ModuleType, model: Any, path: Path, *, compress_to_fp16: bool) -> None:
    """OpenVINO says a full disk and a broken graph with the same RuntimeError; only the disk can fail here."""
    try:
        openvino.save_model(model, path, compress_to_fp16=compress_to_fp16)
    except RuntimeError as exc:
        raise OutputError(
            f"{path}: cannot be written ({one_line(exc)}); free space, or set TMPDIR to another disk"
        ) from exc


def _tensor(openvino: ModuleType, content: bytes) -> Any:
    import numpy as np

    return openvino.Tensor(np.frombuffer(content, np.uint8).copy())
