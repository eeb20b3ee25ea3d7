"""Triton: the ONNX graphs, the image encoder's in a model repository for NVIDIA's Triton Inference Server.

    triton/image_encoder/config.pbtxt
    triton/image_encoder/1/model.onnx
    mask_decoder.onnx

Prompts are answered elsewhere, by the decoder beside it. The configuration is checked against Triton's own schema; that
Triton starts with it was not tried. Source: docs/user_guide/model_configuration.md (triton-inference-server/server).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..contract import Graph, GraphContract, TensorSpec
from ..triton_layout import CONFIG_FILE, MODEL_FILE, REPOSITORY, VERSION
from .onnx import Onnx, build, save
from .target import ExportOptions
from .tool import weights_facts

if TYPE_CHECKING:
    from ..models.components import Component

TYPES = {"float32": "TYPE_FP32", "float16": "TYPE_FP16", "uint8": "TYPE_UINT8"}
ENGINE = "onnxruntime_onnx"


@dataclass(frozen=True)
class Triton(Onnx):
    name: str = "triton"

    def export(self, component: Component, precision: str, out_dir: Path, options: ExportOptions) -> Graph:
        """Write `mask_decoder.onnx`, or the repository with the image encoder; raises as the ONNX target."""
        if component.contract.component != "image_encoder":
            return super().export(component, precision, out_dir, options)
        model, recipe = build(component, precision)
        folder = out_dir / REPOSITORY / component.contract.component
        (folder / VERSION).mkdir(parents=True, exist_ok=True)
        files = [f"{VERSION}/{name}" for name in save(model, folder / VERSION / MODEL_FILE)]
        (folder / CONFIG_FILE).write_text(config(component.contract, weights_facts(component)))
        listed = tuple(f"{REPOSITORY}/{folder.name}/{name}" for name in (CONFIG_FILE, *files))
        return Graph(component.contract, self.name, recipe, out_dir / REPOSITORY, listed)


def config(contract: GraphContract, facts: dict[str, str]) -> str:
    """Return `config.pbtxt`. The graph takes one picture, whose axis is among its dims, so Triton batches nothing."""
    lines = [
        f"name: {_quoted(contract.component)}",
        f"platform: {_quoted(ENGINE)}",
        f"default_model_filename: {_quoted(MODEL_FILE)}",
        "max_batch_size: 0",
        *(_tensor("input", spec) for spec in contract.inputs),
        *(_tensor("output", spec) for spec in contract.outputs),
        *(
            f"parameters {{ key: {_quoted(f'sam_export.{key}')} value {{ string_value: {_quoted(value)} }} }}"
            for key, value in facts.items()
        ),
    ]
    return "\n".join(lines) + "\n"


def _tensor(role: str, spec: TensorSpec) -> str:
    """Return one input or output; a size that is not fixed is -1."""
    dims = ", ".join(str(size if isinstance(size, int) else -1) for size in spec.shape)
    return f"{role} [ {{ name: {_quoted(spec.name)} data_type: {TYPES[spec.dtype]} dims: [ {dims} ] }} ]"


def _quoted(text: str) -> str:
    """Return a string of protobuf's text format."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
