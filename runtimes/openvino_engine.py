"""OpenVINO behind `contract.Session`.

The device is named and the compute precision pinned at compile time: left alone, the CPU plugin computes an fp32 graph
in bf16 on machines that have it. Virtual devices (AUTO, MULTI, HETERO) choose by themselves, so they are refused.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ..contract import Array, EngineOptions, EngineReport, GraphContract
from ..errors import BundleError, UnsupportedError, one_line
from ..optional import import_openvino
from .contract_checks import (
    GraphTensor,
    check_feeds,
    check_graph,
    check_options,
    check_results,
    require_file,
    running,
)
from .soundness import require_sound_ir

PRECISIONS = {"fp32": "f32", "fp16": "f16", "bf16": "bf16"}
CAPABILITIES = {"fp32": "FP32", "fp16": "FP16", "bf16": "BF16"}
# Where an IR says by itself that its linear layers' inputs are to be rounded at each call, and how.
DYNAMIC_RANGES = ["runtime_options", "DYNAMIC_QUANTIZATION_GROUP_SIZE"]
DTYPES = {"f32": "float32", "f16": "float16", "u8": "uint8"}


class OpenVinoSession:
    """An IR (`.xml` with its `.bin` beside it), compiled for one device.

    Raises:
        BundleError: a file is missing or damaged.
        ContractError: its inputs or outputs are not the contract's.
        UnsupportedError: the device or the compute precision is not to be had here.
        MissingDependencyError: openvino is not installed.
    """

    def __init__(self, path: Path, contract: GraphContract, options: EngineOptions | None = None) -> None:
        options = options or EngineOptions()
        check_options(options, "openvino")
        require_file(path)
        require_file(path.with_suffix(".bin"))
        require_sound_ir(path)
        self._contract = contract
        self._openvino = import_openvino(purpose="running OpenVINO graphs", extra="runtime-openvino")
        core = _core(self._openvino)
        device = _chosen_device(core, options)
        model = _read(core, path)
        check_graph(path, contract, _tensors(model.inputs), _tensors(model.outputs))
        self._compiled = _compile(core, path, model, device, options)
        self._request = self._compiled.create_infer_request()
        self._report = self._read_back(device, options)

    @property
    def report(self) -> EngineReport:
        return self._report

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return every output by name, as copies; ContractError if feeds do not fit, or the graph fails."""
        checked = check_feeds(self._contract, feeds)
        with running(f"{self._contract.component} on openvino"):
            self._request.infer(checked, share_inputs=False)
            results = {name: self._request.get_tensor(name).data.copy() for name in self._contract.output_names}
        check_results(self._contract, checked, results)
        return results

    def _read_back(self, device: str, options: EngineOptions) -> EngineReport:
        """Return what the compiled model says, raising if it is another precision or device than asked for."""
        precision = str(self._compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name())
        asked = PRECISIONS[options.compute_precision or "fp32"]
        devices = list(self._compiled.get_property("EXECUTION_DEVICES"))
        if precision != asked or devices != [device]:
            raise UnsupportedError(
                f"openvino: asked for {asked} on {device}, compiled for {precision} on {', '.join(devices)}; "
                f"ask for one of {', '.join(PRECISIONS)} that the device computes in"
            )
        return EngineReport(
            engine="openvino",
            version=self._openvino.__version__,
            device=str(self._compiled.get_property("EXECUTION_DEVICES")[0]),
            compute_precision=next(name for name, hint in PRECISIONS.items() if hint == precision),
            threads=_threads(self._compiled),
            options=_settings(self._compiled),
        )


@functools.cache
def _core(openvino: ModuleType) -> Any:
    """Return the one Core: devices are probed when it is made, which takes a while."""
    # openvino 2026.4 looks numpy up at the first `data`; two threads there at once would wait for each other for ever.
    _ = openvino.Tensor(np.zeros(1, np.float32)).data
    return openvino.Core()


def _chosen_device(core: Any, options: EngineOptions) -> str:
    device = options.provider or "CPU"
    devices = core.available_devices
    if device not in devices:
        _require_cpu_plugin(core, devices)
        raise UnsupportedError(f"openvino: device {device!r} is not on this machine; it has {devices}")
    precision = options.compute_precision or "fp32"
    has = core.get_property(device, "OPTIMIZATION_CAPABILITIES")
    allowed = [name for name, capability in CAPABILITIES.items() if capability in has]
    if precision not in allowed:
        raise UnsupportedError(f"openvino: {device} cannot compute in {precision!r}; it has {', '.join(allowed)}")
    return device


def _require_cpu_plugin(core: Any, devices: Sequence[str]) -> None:
    """Raise UnsupportedError if not even the plugin for the CPU, which is part of the package, can be loaded.

    openvino then has no devices at all, and says why only where one is asked for.
    """
    if "CPU" in devices:
        return
    try:
        core.get_versions("CPU")
    except RuntimeError as exc:
        raise UnsupportedError(
            f"openvino: its plugin for the CPU cannot be loaded ({one_line(exc)}); "
            "free memory, or install openvino again"
        ) from exc


def _read(core: Any, path: Path) -> Any:
    try:
        return core.read_model(path)
    except RuntimeError as exc:
        raise BundleError(
            f"{path}: not an IR that openvino can read ({one_line(exc)}); export or copy it again"
        ) from exc


def _compile(core: Any, path: Path, model: Any, device: str, options: EngineOptions) -> Any:
    config: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": PRECISIONS[options.compute_precision or "fp32"],
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
    }
    has = core.get_property(device, "SUPPORTED_PROPERTIES")
    if "DYNAMIC_QUANTIZATION_GROUP_SIZE" in has and not model.has_rt_info(DYNAMIC_RANGES):
        config["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = 0  # else activations of compressed weights become int8 unasked
    if "ENABLE_CPU_PINNING" in has:
        config["ENABLE_CPU_PINNING"] = False  # else sessions of one thread each all share the first core
    if options.threads is not None:
        config["INFERENCE_NUM_THREADS"] = options.threads
    try:
        return core.compile_model(model, device, config)
    except RuntimeError as exc:
        raise UnsupportedError(
            f"{path}: openvino cannot compile this graph for {device} ({one_line(exc)}); "
            "choose another device, or update openvino"
        ) from exc


def _tensors(ports: Sequence[Any]) -> list[GraphTensor]:
    return [GraphTensor(_name(port), _shape(port), _dtype(port)) for port in ports]


def _name(port: Any) -> str:
    return ", ".join(sorted(port.get_names()))


def _shape(port: Any) -> tuple[int | None, ...]:
    return tuple(size.get_length() if size.is_static else None for size in port.get_partial_shape())


def _dtype(port: Any) -> str:
    name = str(port.get_element_type().get_type_name())
    return DTYPES.get(name, name)


def _threads(compiled: Any) -> int | None:
    if "INFERENCE_NUM_THREADS" not in compiled.get_property("SUPPORTED_PROPERTIES"):
        return None
    return int(compiled.get_property("INFERENCE_NUM_THREADS"))


def _settings(compiled: Any) -> dict[str, str]:
    wanted = (
        "PERFORMANCE_HINT",
        "NUM_STREAMS",
        "EXECUTION_MODE_HINT",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE",
        "ENABLE_CPU_PINNING",
    )
    has = compiled.get_property("SUPPORTED_PROPERTIES")
    return {name.lower(): str(compiled.get_property(name)).rpartition(".")[2] for name in wanted if name in has}
