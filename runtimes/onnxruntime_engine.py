"""ONNX Runtime behind `contract.Session`.

One provider is asked for, by name, and it must be there and take part; the CPU provider then runs what it leaves.
With none asked for, graphs run on the CPU, where bundles are verified.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from ..contract import Array, EngineOptions, EngineReport, GraphContract
from ..errors import BundleError, UnsupportedError, one_line
from ..optional import import_onnxruntime
from .contract_checks import (
    GraphTensor,
    check_feeds,
    check_graph,
    check_options,
    check_results,
    require_file,
    running,
)
from .soundness import require_sound_onnx

CPU = "CPUExecutionProvider"
DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(uint8)": "uint8"}
ERRORS_ONLY = 3
RECORD_ASSIGNMENT = "session.record_ep_graph_assignment_info"
# Threads that went on spinning for work after a call would take a core from the other graph's, or another program.
STOP_SPINNING = "session.force_spinning_stop"
FORMAT = "session.load_model_format"


class OnnxRuntimeSession:
    """An `.onnx` graph, ready to run.

    Raises:
        BundleError: the file is missing or damaged.
        ContractError: its inputs or outputs are not the contract's.
        UnsupportedError: the provider or compute precision cannot be had here, or the graph has an op that
            this ONNX Runtime does not know.
        MissingDependencyError: onnxruntime is not installed.
    """

    def __init__(self, path: Path, contract: GraphContract, options: EngineOptions | None = None) -> None:
        options = options or EngineOptions()
        check_options(options, "onnxruntime")
        require_file(path)
        require_sound_onnx(path)
        self._contract = contract
        self._ort = import_onnxruntime(purpose="running ONNX graphs", extra="runtime")
        provider = _chosen_provider(self._ort, options)
        self._session = _open(self._ort, path, options, provider)
        check_graph(path, contract, _tensors(self._session.get_inputs()), _tensors(self._session.get_outputs()))
        self._report = self._read_back(provider)

    @property
    def report(self) -> EngineReport:
        return self._report

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return every output by name. Feeds are checked; ContractError if they do not fit, or the graph fails."""
        names, checked = self._contract.output_names, check_feeds(self._contract, feeds)
        with running(f"{self._contract.component} on onnxruntime"):
            results = dict(zip(names, self._session.run(list(names), checked), strict=True))
        check_results(self._contract, checked, results)
        return results

    def _read_back(self, provider: str) -> EngineReport:
        """Return what runs where, raising if the provider that was asked for runs nothing."""
        nodes = _nodes_by_provider(self._session)
        running = self._session.get_providers()
        if provider not in running or (nodes and provider not in nodes):
            raise UnsupportedError(
                f"onnxruntime: {provider} was asked for and runs no part of this graph (running: {nodes or running}); "
                f"ask for one of {sorted(nodes) or running}"
            )
        used = self._session.get_session_options()
        return EngineReport(
            engine="onnxruntime",
            version=self._ort.__version__,
            device=provider,
            compute_precision=_compute_precision(provider, self._session),
            threads=used.intra_op_num_threads or None,
            options={
                "providers": ", ".join(running),
                **{f"nodes on {name}": str(count) for name, count in sorted(nodes.items())},
                "intra_op_num_threads": str(used.intra_op_num_threads or "one per physical core"),
                "enable_mem_pattern": str(used.enable_mem_pattern),
                "force_spinning_stop": used.get_session_config_entry(STOP_SPINNING),
                "graph_optimization_level": str(used.graph_optimization_level).rpartition(".")[2],
            },
        )


def _chosen_provider(ort: ModuleType, options: EngineOptions) -> str:
    """Return the provider to ask for; onnxruntime itself would only warn and use the CPU."""
    available = ort.get_available_providers()
    provider = options.provider or CPU
    if provider not in available:
        raise UnsupportedError(f"onnxruntime: provider {provider!r} is not in this build; it has {available}")
    if options.compute_precision not in (None, "fp32") or (options.compute_precision and provider != CPU):
        raise UnsupportedError(
            f"onnxruntime: compute precision {options.compute_precision!r} on {provider} cannot be asked for; "
            "the CPU provider computes in fp32, others as the graph is stored: leave it out, or open another bundle"
        )
    return provider


def _open(ort: ModuleType, path: Path, options: EngineOptions, provider: str) -> Any:
    state = ort.capi.onnxruntime_pybind11_state
    settings = ort.SessionOptions()
    settings.log_severity_level = ERRORS_ONLY
    settings.add_session_config_entry(RECORD_ASSIGNMENT, "1")
    settings.add_session_config_entry(STOP_SPINNING, "1")
    # Else a file that is named `.ort` is opened as one, which nobody has looked at.
    settings.add_session_config_entry(FORMAT, "ONNX")
    # The plan of the first call is one more piece of memory from the second on: the encoder of LiteMedSAM peaks at
    # 581 MB with it, 348 MB without, and is as fast.
    settings.enable_mem_pattern = False
    if options.threads is not None:
        settings.intra_op_num_threads = options.threads
        settings.inter_op_num_threads = 1
    try:
        session = ort.InferenceSession(str(path), settings, providers=[provider])
    except (state.NotImplemented, state.EPFail) as exc:
        raise UnsupportedError(
            f"{path}: onnxruntime {ort.__version__} cannot run this graph on {provider} ({one_line(exc)}); "
            "choose another provider, or update onnxruntime"
        ) from exc
    except (
        state.InvalidProtobuf,
        state.InvalidGraph,
        state.NoModel,
        state.NoSuchFile,
        state.InvalidArgument,
        state.Fail,
        state.RuntimeException,
        RuntimeError,
        UnicodeDecodeError,  # its own message with a name that is no text
    ) as exc:
        raise BundleError(
            f"{path}: not a graph that onnxruntime can open ({one_line(exc)}); export or copy it again"
        ) from exc
    session.disable_fallback()
    return session


def _tensors(arguments: Sequence[Any]) -> list[GraphTensor]:
    return [
        GraphTensor(
            arg.name,
            tuple(size if isinstance(size, int) else None for size in arg.shape),
            DTYPES.get(arg.type, arg.type),
        )
        for arg in arguments
    ]


def _nodes_by_provider(session: Any) -> Counter[str]:
    """Return how many nodes each provider runs; empty on versions that do not tell (before 1.24)."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return Counter()
    counts: Counter[str] = Counter()
    for part in session.get_provider_graph_assignment_info():
        counts[part.ep_name] += len(part.get_nodes())
    return counts


def _compute_precision(provider: str, session: Any) -> str:
    """Return what the arithmetic is done in.

    The CPU provider has fp16 kernels on Arm only, and casts to fp32 around everything elsewhere.
    """
    stored = session.get_modelmeta().custom_metadata_map.get("sam_export.precision", "fp32")
    if stored == "fp16" and (provider != CPU or platform.machine().lower() in ("arm64", "aarch64")):
        return "fp16 where the provider has kernels, else fp32"
    return "fp32"
