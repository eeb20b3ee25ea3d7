"""How close an encoder comes to the best matrix product of this machine, operation by operation.

    python -m sam_export.benchmarks.roofline REQUEST.json RESULT.json

onnxruntime's profiler and OpenVINO's counters time every operation; its work is counted from its shapes. Both slow a
run down a little, so that the operations' sum is told, and never the run's own time.
"""

from __future__ import annotations

import math
import statistics
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ..contract import Array
from ..optional import import_onnxruntime, import_openvino
from .best_products import best_products
from .run_record import LayerTime, Peak

RUNS = 5
# onnxruntime's operations that multiply 8-bit integers, whatever their inputs are.
INTEGER_OPS = (
    "QLinearConv",
    "QLinearMatMul",
    "QGemm",
    "MatMulInteger",
    "MatMulIntegerToFloat",
    "DynamicQuantizeMatMul",
    "ConvInteger",
)
HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
RT_INFO = ("layerType", "originalLayersNames", "runtimePrecision")
DTYPES = {"f32": "fp32", "bf16": "bf16", "f16": "fp16", "u8": "int8", "i8": "int8"}


class RooflineRequest(msgspec.Struct, frozen=True):
    """An encoder's graph, or none: then the machine's best products are sought on the engines named."""

    engine: str = ""
    graph: str = ""
    image_hw: tuple[int, int] = (0, 0)
    compute_precision: str = "fp32"
    threads: int = 1
    peaks_of: tuple[str, ...] = ()


class RooflineResult(msgspec.Struct, frozen=True):
    layers: tuple[LayerTime, ...] = ()
    peaks: tuple[Peak, ...] = ()


def run(request: RooflineRequest) -> RooflineResult:
    if request.peaks_of:
        return RooflineResult(peaks=best_products(request.peaks_of, request.threads))
    image = np.random.default_rng(0).integers(0, 256, (1, 3, *request.image_hw)).astype(np.float32)
    profile = _profile_openvino if request.engine == "openvino" else _profile_onnxruntime
    return RooflineResult(layers=tuple(profile(request, image)))


def _profile_onnxruntime(request: RooflineRequest, image: Array) -> Iterable[LayerTime]:
    ort = import_onnxruntime(purpose="profiling ONNX graphs", extra="runtime")
    settings = ort.SessionOptions()
    settings.log_severity_level = 3
    settings.intra_op_num_threads = request.threads
    with tempfile.TemporaryDirectory(prefix="sam-export-") as folder:
        settings.enable_profiling, settings.profile_file_prefix = True, str(Path(folder) / "profile")
        session = ort.InferenceSession(request.graph, settings, providers=["CPUExecutionProvider"])
        for _ in range(RUNS + 1):
            session.run(None, {"image": image})
        events = msgspec.json.decode(Path(session.end_profiling()).read_bytes())
    return layers_of_profile(events)


def layers_of_profile(events: Sequence[Mapping[str, object]]) -> list[LayerTime]:
    """Return a layer for each node of onnxruntime's profile, its time the median over runs."""
    times: dict[str, list[float]] = {}
    nodes: dict[str, LayerTime] = {}
    for event in events:
        name, said = str(event["name"]), event.get("args")
        if event.get("cat") != "Node" or not name.endswith("_kernel_time") or not isinstance(said, Mapping):
            continue
        key = f"{said['node_index']} {name}"
        duration = event["dur"]
        assert isinstance(duration, int | float)
        times.setdefault(key, []).append(duration / 1e3)
        op = str(said["op_name"])
        shapes = [_shapes(said.get(side)) for side in ("input_type_shape", "output_type_shape")]
        dtype = "int8" if op in INTEGER_OPS else "fp32"
        nodes[key] = LayerTime(op, name.removesuffix("_kernel_time"), dtype, 1, 0.0, gflop(op, *shapes))
    return [replace(node, milliseconds=statistics.median(times[key])) for key, node in nodes.items()]


def _shapes(said: object) -> list[list[int]]:
    if not isinstance(said, list):
        return []
    return [shape for one in said for shape in one.values()]


def gflop(op: str, inputs: Sequence[Sequence[int]], outputs: Sequence[Sequence[int]]) -> float:
    """Return the work of one product, two operations for each multiplied pair; 0 for what multiplies none.

    A product's depth is its first input's last axis: what it is multiplied with may be packed away, and not told.
    """
    if not inputs or not outputs:
        return 0.0
    out = math.prod(outputs[0])
    if "Conv" in op:
        # Weights are [O, I / groups, kh, kw]; OpenVINO puts the groups first.
        weights = next((shape for shape in inputs[1:] if len(shape) >= 4), None)
        return 0.0 if weights is None else 2e-9 * out * math.prod(weights[-3:])
    if "MatMul" in op or "Gemm" in op or op.startswith("FullyConnected"):
        return 2e-9 * out * inputs[0][-1]
    return 0.0


def _profile_openvino(request: RooflineRequest, image: Array) -> Iterable[LayerTime]:
    openvino = import_openvino(purpose="profiling OpenVINO graphs", extra="runtime-openvino")
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(request.graph), "CPU", _settings(request))
    infer = compiled.create_infer_request()
    times: dict[str, list[float]] = {}
    for turn in range(RUNS + 1):
        infer.infer({0: image})
        for one in infer.get_profiling_info() if turn else ():
            times.setdefault(one.node_name, []).append(one.real_time.total_seconds() * 1e3)
    for node in compiled.get_runtime_model().get_ordered_ops():
        name = node.get_friendly_name()
        milliseconds = statistics.median(times.get(name, [0.0]))
        if milliseconds > 0:
            yield _openvino_layer(node, name, milliseconds)


def _settings(request: RooflineRequest) -> dict[str, object]:
    return {
        "PERF_COUNT": True,
        "INFERENCE_PRECISION_HINT": HINTS[request.compute_precision],
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": request.threads,
    }


def _openvino_layer(node: Any, name: str, milliseconds: float) -> LayerTime:
    inputs = [_static(node.input(index)) for index in range(node.get_input_size())]
    outputs = [_static(node.output(index)) for index in range(node.get_output_size())]
    said = {key: str(value.astype(str)) for key, value in node.get_rt_info().items() if key in RT_INFO}
    op = said.get("layerType", "")
    is_attention = "Softmax" in said.get("originalLayersNames", "") and sum(len(shape) == 4 for shape in inputs) >= 3
    work = attention_gflop(inputs) if is_attention else gflop(op, inputs, outputs)
    dtype = DTYPES.get(said.get("runtimePrecision", ""), "fp32")
    return LayerTime("Attention" if is_attention else op, name, dtype, 1, milliseconds, work)


def _static(port: Any) -> list[int]:
    shape = port.get_partial_shape()
    return list(shape.to_shape()) if shape.is_static else []


def attention_gflop(inputs: Sequence[Sequence[int]]) -> float:
    """Return the work of both products of a fused attention: query [B, h, N, d], key in either order, value."""
    query, key = [shape for shape in inputs if len(shape) == 4][:2]
    batch, heads, queries, depth = query
    keys = math.prod(key[-2:]) // depth
    return 4e-9 * batch * heads * queries * keys * depth


def main() -> None:
    request = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=RooflineRequest)
    Path(sys.argv[2]).write_bytes(msgspec.json.encode(run(request)))


if __name__ == "__main__":
    main()
