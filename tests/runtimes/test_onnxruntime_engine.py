from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sam_export.contract import Array, EngineOptions, Graph
from sam_export.errors import BundleError, UnsupportedError
from sam_export.exporters import export
from sam_export.models import SamModel, components
from sam_export.runtimes.onnxruntime_engine import OnnxRuntimeSession


@pytest.fixture(scope="module")
def graph(tiny_sam: SamModel, tmp_path_factory: pytest.TempPathFactory) -> Graph:
    """The mask decoder of the tiny model."""
    return export(components(tiny_sam)[1], "onnx", "fp32", tmp_path_factory.mktemp("graphs"))


def test_nothing_is_reported_over_the_network(graph: Graph, tmp_path: Path) -> None:
    """A session that is reported has a number, which is kept in a file of the temporary folder."""
    code = """
import sys
from sam_export.optional import import_onnxruntime
import_onnxruntime(purpose="testing", extra="dev").InferenceSession(sys.argv[1])
"""
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    words = [sys.executable, "-c", code, str(graph.path)]
    subprocess.run(words, check=True, env={**environment, "TMPDIR": str(tmp_path)})
    assert not list(tmp_path.iterdir())


def test_runs_and_reports_what_it_uses(graph: Graph, feeds: dict[str, Array]) -> None:
    session = OnnxRuntimeSession(graph.path, graph.contract, EngineOptions(threads=1))
    outputs = session.run(feeds)
    assert {name: array.shape for name, array in outputs.items()} == {
        "low_res_masks": (2, 4, 64, 64),
        "iou_predictions": (2, 4),
    }
    report = session.report
    assert (report.engine, report.device, report.compute_precision, report.threads) == (
        "onnxruntime",
        "CPUExecutionProvider",
        "fp32",
        1,
    )
    assert int(report.options["nodes on CPUExecutionProvider"]) > 100
    assert (report.options["force_spinning_stop"], report.options["enable_mem_pattern"]) == ("1", "False")


def test_threads_left_to_the_engine_are_not_invented(graph: Graph) -> None:
    assert OnnxRuntimeSession(graph.path, graph.contract).report.threads is None


@pytest.mark.parametrize("content", [b"", b"not a graph", None], ids=["empty", "text", "truncated"])
def test_damaged_file_is_refused(graph: Graph, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "damaged.onnx"
    path.write_bytes(graph.path.read_bytes()[:-5000] if content is None else content)
    with pytest.raises(BundleError, match=r"damaged\.onnx"):
        OnnxRuntimeSession(path, graph.contract)


def test_provider_that_is_not_there_lists_those_that_are(graph: Graph) -> None:
    with pytest.raises(UnsupportedError, match=r"'MagicExecutionProvider'.*CPUExecutionProvider"):
        OnnxRuntimeSession(graph.path, graph.contract, EngineOptions(provider="MagicExecutionProvider"))


def test_provider_that_runs_nothing_is_no_silent_cpu(graph: Graph) -> None:
    """The Azure provider is in every build, accepts any graph, and leaves all of it to the CPU."""
    import onnxruntime

    if "AzureExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has no Azure provider")
    with pytest.raises(UnsupportedError, match=r"AzureExecutionProvider.*runs no part"):
        OnnxRuntimeSession(graph.path, graph.contract, EngineOptions(provider="AzureExecutionProvider"))


@pytest.mark.parametrize("precision", ["fp16", "bf16", "int3"])
def test_compute_precision_that_cannot_be_asked_for(graph: Graph, precision: str) -> None:
    with pytest.raises(UnsupportedError, match=precision):
        OnnxRuntimeSession(graph.path, graph.contract, EngineOptions(compute_precision=precision))
