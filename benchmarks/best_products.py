"""The fastest matrix products that engines reach on this machine."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from ..contract import Array
from ..optional import import_onnxruntime, import_openvino
from .run_record import Peak

Shape = tuple[int, int, int]
LEAST_RUNS, LEAST_SECONDS = 5, 0.6
# Rows, depth, columns. Squares, small enough for caches and large enough to hide what a call costs, and what encoders
# have: many rows by a small matrix, both of its ways.
SHAPES = ((512, 512, 512), (1024, 1024, 1024), (2048, 2048, 2048), (4096, 256, 1024), (4096, 1024, 256))


def best_products(engines: Sequence[str], threads: int) -> tuple[Peak, ...]:
    """Return the fastest product of each dtype that any of the engines can do."""
    best: dict[str, Peak] = {}
    for one in _products(engines, threads):
        if one.dtype not in best or one.gflops > best[one.dtype].gflops:
            best[one.dtype] = one
    return tuple(best.values())


def _products(engines: Sequence[str], threads: int) -> Iterable[Peak]:
    for engine in engines:
        for shape in SHAPES:
            yield from (_in_openvino if engine == "openvino" else _in_onnxruntime)(shape, threads)


def _reached(run_once: Callable[[], object], shape: Shape) -> float:
    """Return GFLOP/s of the fastest of many calls: what the machine can do, not what it does on average."""
    run_once()
    seconds: list[float] = []
    until = time.perf_counter() + LEAST_SECONDS
    while time.perf_counter() < until or len(seconds) < LEAST_RUNS:
        started = time.perf_counter()
        run_once()
        seconds.append(time.perf_counter() - started)
    return 2e-9 * math.prod(shape) / min(seconds)


def _in_onnxruntime(shape: Shape, threads: int) -> Iterable[Peak]:
    from onnx import TensorProto, helper, numpy_helper

    ort = import_onnxruntime(purpose="measuring products", extra="runtime")
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = threads
    rows, depth, columns = shape
    random = np.random.default_rng(0)
    for dtype, op, values, kind in (
        ("fp32", "MatMul", random.standard_normal((depth, columns)).astype(np.float32), TensorProto.FLOAT),
        ("int8", "MatMulInteger", random.integers(-127, 127, (depth, columns)).astype(np.int8), TensorProto.UINT8),
    ):
        out = TensorProto.FLOAT if dtype == "fp32" else TensorProto.INT32
        graph = helper.make_graph(
            [helper.make_node(op, ["x", "w"], ["y"])],
            "product",
            [helper.make_tensor_value_info("x", kind, [rows, depth])],
            [helper.make_tensor_value_info("y", out, [rows, columns])],
            [numpy_helper.from_array(values, "w")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        session = ort.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])
        x = np.abs(np.resize(values, (rows, depth))).astype(helper.tensor_dtype_to_np_dtype(kind))
        what = f"{op} of {_named(shape)} in onnxruntime"
        yield Peak(dtype, _reached(partial(session.run, None, {"x": x}), shape), what)


def _in_openvino(shape: Shape, threads: int) -> Iterable[Peak]:
    openvino = import_openvino(purpose="measuring products", extra="runtime-openvino")
    core = openvino.Core()
    has = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    wanted = [("fp32", "f32"), *([("bf16", "bf16")] if "BF16" in has else []), ("int8", "f32")]
    rows, depth, columns = shape
    random = np.random.default_rng(0)
    x = random.standard_normal((rows, depth)).astype(np.float32)
    w = random.standard_normal((columns, depth)).astype(np.float32)
    for dtype, hint in wanted:
        config = {"INFERENCE_PRECISION_HINT": hint, "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads}
        compiled = core.compile_model(_product(openvino, x.shape, w, integer=dtype == "int8"), "CPU", config)
        infer = compiled.create_infer_request()
        what = f"a product of {_named(shape)} in OpenVINO"
        yield Peak(dtype, _reached(partial(infer.infer, {0: x}, share_inputs=True), shape), what)


def _named(shape: Shape) -> str:
    rows, depth, columns = shape
    return f"{rows} x {depth} and {depth} x {columns}"


def _product(openvino: ModuleType, x_shape: tuple[int, ...], weights: Array, *, integer: bool) -> Any:
    ops = openvino.opset13
    x = ops.parameter(x_shape, np.float32, name="x")
    w = ops.constant(weights)
    if integer:
        x_grid = (ops.constant(np.float32(value)) for value in (-4.0, 4.0, -4.0, 4.0))
        w_grid = (ops.constant(np.float32(value)) for value in (-4.0, 4.0, -4.0, 4.0))
        product = ops.matmul(ops.fake_quantize(x, *x_grid, 256), ops.fake_quantize(w, *w_grid, 255), False, True)
    else:
        product = ops.matmul(x, w, False, True)
    return openvino.Model([product], [x])
