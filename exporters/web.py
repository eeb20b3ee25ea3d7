"""Web: ONNX graphs for onnxruntime-web, in one bundle for all devices of a browser.

The graphs compute what the ONNX target's do; its gathered rows (`onnx_rows`) are left out, since they were measured on
native onnxruntime alone. Those that WebGPU may run hold only ops that its backend has a kernel for,
since any other would send its tensors to WebAssembly and back; integer graphs are for WebAssembly alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..contract import Graph
from ..errors import ConversionError, UnsupportedError
from ..precision import of_components
from .onnx import build, for_integer_kernels, inline_bytes, save
from .target import ExportOptions

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..models.components import Component

WASM, WEBGPU = "wasm", "webgpu"
# Where each float precision pays: WebAssembly computes fp16 in fp32, and int8 faster than both.
DEVICES = {"fp32": (WASM, WEBGPU), "fp16": (WEBGPU,)}
# onnxruntime-web takes a graph as one array and copies it once; WebAssembly has 4 GB for all.
MAX_BYTES = 10**9

# Of the table `docs/webgpu-operators.md` in onnxruntime-web 1.30.0, domain ai.onnx: all that a graph of ours may hold.
_WEBGPU_TABLE = """
    Abs Add ArgMax AveragePool BatchNormalization Cast Ceil Clip Concat Conv ConvTranspose Cos CumSum DepthToSpace
    DequantizeLinear Div Einsum Equal Erf Exp Expand Flatten Floor Gather GatherElements GatherND Gemm GlobalAveragePool
    Greater GreaterOrEqual HardSigmoid HardSwish InstanceNormalization LayerNormalization LeakyRelu Less LessOrEqual Log
    MatMul MaxPool Mul Neg Not Pad Pow Range Reciprocal ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
    ReduceSumSquare Relu Reshape Resize Shape Sigmoid Sin Slice Softmax Split Sqrt Squeeze Sub Tanh Tile Transpose
    Unsqueeze Where
"""
WEBGPU_OPS = frozenset(_WEBGPU_TABLE.split())


@dataclass(frozen=True)
class Web:
    name: str = "web"
    extra: str = "web"
    one_bundle: bool = True
    requires: tuple[str, ...] = ("onnx", "onnx_ir", "onnxruntime", "brotli")
    precisions: tuple[str, ...] = ("fp32", "fp16")
    default_precisions: tuple[str, ...] = ("fp32", "fp16", "int8")

    def devices(self, precision: str) -> tuple[str, ...]:
        """Return those that both components are for; what is rounded is for WebAssembly."""
        of_parts = [DEVICES.get(one, (WASM,)) for one in of_components(precision).values()]
        return tuple(device for device in (WASM, WEBGPU) if all(device in part for part in of_parts)) or (WASM,)

    def check_options(self, options: ExportOptions) -> None:
        """No option of this target is limited."""

    def export(self, component: Component, precision: str, out_dir: Path, options: ExportOptions) -> Graph:
        """Write `<component>.onnx`.

        Raises:
            ConversionError: as the ONNX target, or an op that WebGPU has no kernel for in a graph that it may run.
            UnsupportedError: the graph is too large for a browser.
        """
        del options
        from .onnx_masks import skip_absent_masks

        model, recipe = build(component, precision)
        size = inline_bytes(model)
        if size > MAX_BYTES:
            raise UnsupportedError(
                f"{component.contract.component} web {recipe.precision}: weights of {size / 1e9:.1f} GB, a page takes "
                f"at most {MAX_BYTES / 1e9:g} GB; take a smaller model or precision, or --target onnx"
            )
        for_integer_kernels(model)
        if WEBGPU in self.devices(recipe.precision):
            check_webgpu(model)
        else:
            skip_absent_masks(model)
        path = out_dir / f"{component.contract.component}.onnx"
        files = save(model, path)
        return Graph(component.contract, self.name, recipe, path, files)


def check_webgpu(model: ir.Model) -> None:
    """Raise ConversionError if an op of the graph has no kernel in onnxruntime-web's WebGPU backend."""
    missing = sorted({node.op_type for node in model.graph} - WEBGPU_OPS)
    if missing:
        raise ConversionError(
            f"{model.graph.name} web: onnxruntime-web has no WebGPU kernel for {', '.join(missing)}; express it with "
            "ops that it has, or export --precision int8, which is for WebAssembly alone"
        )
