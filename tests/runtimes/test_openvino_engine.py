from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sam_export.contract import Array, EngineOptions, Graph
from sam_export.errors import BundleError, UnsupportedError
from sam_export.exporters import export
from sam_export.models import SamModel, components
from sam_export.optional import import_openvino
from sam_export.runtimes.openvino_engine import OpenVinoSession


@pytest.fixture(scope="module")
def graph(tiny_sam: SamModel, tmp_path_factory: pytest.TempPathFactory) -> Graph:
    """The mask decoder of the tiny model."""
    return export(components(tiny_sam)[1], "openvino", "fp32", tmp_path_factory.mktemp("graphs"))


def test_runs_and_reports_what_it_uses(graph: Graph, feeds: dict[str, Array]) -> None:
    session = OpenVinoSession(graph.path, graph.contract, EngineOptions(threads=1))
    outputs = session.run(feeds)
    assert {name: array.shape for name, array in outputs.items()} == {
        "low_res_masks": (2, 4, 64, 64),
        "iou_predictions": (2, 4),
    }
    report = session.report
    assert (report.engine, report.device, report.compute_precision, report.threads) == (
        "openvino",
        "CPU",
        "fp32",
        1,
    )
    assert report.options["dynamic_quantization_group_size"] == "0"
    assert report.options["enable_cpu_pinning"] == "False"


def test_threads_left_to_the_engine_are_read_back(graph: Graph) -> None:
    threads = OpenVinoSession(graph.path, graph.contract).report.threads
    assert threads is not None
    assert threads >= 1


def test_importing_openvino_reports_nothing_over_the_network() -> None:
    """The package's own start-up event needs `openvino_telemetry`, which is hidden while it is imported."""
    code = """
import sys
from sam_export.optional import import_openvino
import_openvino(purpose="testing", extra="dev")
assert "openvino_telemetry" not in sys.modules
assert "openvino.tools.ovc.telemetry_stub" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_computes_in_fp32_where_the_machine_offers_less(graph: Graph, feeds: dict[str, Array]) -> None:
    core = import_openvino(purpose="testing", extra="dev").Core()
    if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has no bf16")
    default, pinned, low = (
        OpenVinoSession(graph.path, graph.contract, EngineOptions(compute_precision=precision))
        for precision in (None, "fp32", "bf16")
    )
    assert (default.report.compute_precision, low.report.compute_precision) == ("fp32", "bf16")
    masks = [session.run(feeds)["low_res_masks"] for session in (default, pinned, low)]
    assert np.array_equal(masks[0], masks[1])
    assert not np.array_equal(masks[0], masks[2])


def test_outputs_are_copies(graph: Graph, feeds: dict[str, Array]) -> None:
    session = OpenVinoSession(graph.path, graph.contract)
    first = session.run(feeds)["low_res_masks"]
    kept = first.copy()
    session.run({**feeds, "point_labels": np.zeros_like(feeds["point_labels"])})
    assert np.array_equal(first, kept)


@pytest.mark.parametrize("content", [b"", b"not a graph", None], ids=["empty", "text", "truncated"])
def test_damaged_file_is_refused(graph: Graph, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "damaged.xml"
    path.write_bytes(graph.path.read_bytes()[:-5000] if content is None else content)
    path.with_suffix(".bin").write_bytes(graph.path.with_suffix(".bin").read_bytes())
    with pytest.raises(BundleError, match=r"damaged\.xml"):
        OpenVinoSession(path, graph.contract)


def test_truncated_or_missing_weights_are_refused(graph: Graph, tmp_path: Path) -> None:
    path = tmp_path / "damaged.xml"
    path.write_bytes(graph.path.read_bytes())
    with pytest.raises(BundleError, match=r"damaged\.bin: no such file"):
        OpenVinoSession(path, graph.contract)
    path.with_suffix(".bin").write_bytes(graph.path.with_suffix(".bin").read_bytes()[:-5000])
    with pytest.raises(BundleError, match=r"damaged\.xml"):
        OpenVinoSession(path, graph.contract)


@pytest.mark.parametrize("device", ["GPU.7", "AUTO", "cpu"])
def test_device_that_is_not_there_lists_those_that_are(graph: Graph, device: str) -> None:
    with pytest.raises(UnsupportedError, match=rf"{device!r}.*\['CPU"):
        OpenVinoSession(graph.path, graph.contract, EngineOptions(provider=device))


NO_ROOM = """
import resource
from pathlib import Path
from sam_export.contract import EngineOptions
from sam_export.optional import import_openvino
from sam_export.runtimes.openvino_engine import _chosen_device, _core

core = _core(import_openvino(purpose="testing", extra="dev"))
bytes_now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (bytes_now + 2**20, bytes_now + 2**20))
try:
    _chosen_device(core, EngineOptions())
except Exception as exc:
    print(f"{type(exc).__name__}: {exc}")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux alone")
def test_a_plugin_that_finds_no_room_is_not_called_a_missing_device() -> None:
    said = subprocess.run([sys.executable, "-c", NO_ROOM], capture_output=True, text=True, check=True).stdout
    assert said.startswith("UnsupportedError: openvino: its plugin for the CPU cannot be loaded (")
    assert said.endswith("; free memory, or install openvino again\n")


def test_compute_precision_that_is_not_there_lists_those_that_are(graph: Graph) -> None:
    """Asked for f16, a CPU without it would quietly take bf16."""
    core = import_openvino(purpose="testing", extra="dev").Core()
    lacking = "int3" if "FP16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "fp16"
    with pytest.raises(UnsupportedError, match=f"{lacking!r}; it has .*fp32"):
        OpenVinoSession(graph.path, graph.contract, EngineOptions(compute_precision=lacking))
