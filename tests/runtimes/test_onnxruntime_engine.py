from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sam_export.contract import Array, EngineOptions, Graph, GraphContract
from sam_export.errors import BundleError, ContractError, RequestError, UnsupportedError
from sam_export.exporters import export
from sam_export.models import SamModel, components
from sam_export.runtimes.onnxruntime_engine import OnnxRuntimeSession


@pytest.fixture(scope="module")
def graph(tiny_sam: SamModel, tmp_path_factory: pytest.TempPathFactory) -> Graph:
    """The mask decoder of the tiny model."""
    return export(components(tiny_sam)[1], "onnx", "fp32", tmp_path_factory.mktemp("graphs"))


@pytest.fixture
def feeds(graph: Graph) -> dict[str, Array]:
    sizes = {"B": 2, "N": 3}
    return {
        spec.name: np.ones([sizes.get(axis, axis) for axis in spec.shape], np.float32) for spec in graph.contract.inputs
    }


def _renamed(contract: GraphContract) -> GraphContract:
    return replace(contract, outputs=(replace(contract.outputs[0], name="masks"), contract.outputs[1]))


def _reordered(contract: GraphContract) -> GraphContract:
    return replace(contract, inputs=contract.inputs[::-1])


def _reshaped(contract: GraphContract) -> GraphContract:
    return replace(contract, inputs=(replace(contract.inputs[0], shape=(1, 16, 16, 32)), *contract.inputs[1:]))


def _static(contract: GraphContract) -> GraphContract:
    return replace(contract, outputs=(contract.outputs[0], replace(contract.outputs[1], shape=(1, 4))))


def _retyped(contract: GraphContract) -> GraphContract:
    return replace(contract, inputs=(replace(contract.inputs[0], dtype="float16"), *contract.inputs[1:]))


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


@pytest.mark.parametrize("change", [_renamed, _reordered, _reshaped, _static, _retyped])
def test_graph_that_is_not_the_contracts_is_refused(graph: Graph, change: object) -> None:
    assert callable(change)
    with pytest.raises(ContractError, match=r"the contract says .*export it again"):
        OnnxRuntimeSession(graph.path, change(graph.contract))


@pytest.mark.parametrize("content", [b"", b"not a graph", None], ids=["empty", "text", "truncated"])
def test_damaged_file_is_refused(graph: Graph, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "damaged.onnx"
    path.write_bytes(graph.path.read_bytes()[:-5000] if content is None else content)
    with pytest.raises(BundleError, match=r"damaged\.onnx"):
        OnnxRuntimeSession(path, graph.contract)


def test_missing_file_is_refused(graph: Graph, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such file"):
        OnnxRuntimeSession(tmp_path / "absent.onnx", graph.contract)


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


def test_no_threads_is_a_bad_request(graph: Graph) -> None:
    with pytest.raises(RequestError, match="threads 0"):
        OnnxRuntimeSession(graph.path, graph.contract, EngineOptions(threads=0))


def test_feeds_that_do_not_fit_are_refused(graph: Graph, feeds: dict[str, Array]) -> None:
    session = OnnxRuntimeSession(graph.path, graph.contract)
    wrong = {
        "fed": {name: array for name, array in feeds.items() if name != "mask_input"},
        "float64": {**feeds, "point_coords": feeds["point_coords"].astype(np.float64)},
        r"\[2, 3, 3\]": {**feeds, "point_coords": np.ones((2, 3, 3), np.float32)},
        r"point_labels .*\[B, N\] with B=2, N=3": {**feeds, "point_labels": np.ones((2, 4), np.float32)},
        r"\[0, 3, 2\]": {**feeds, "point_coords": np.ones((0, 3, 2), np.float32)},
        r"has_mask_input has shape \[\]": {**feeds, "has_mask_input": np.float32(1)},
    }
    for message, given in wrong.items():
        with pytest.raises(ContractError, match=message):
            session.run(given)


def test_order_and_layout_of_feeds_do_not_matter(graph: Graph, feeds: dict[str, Array]) -> None:
    session = OnnxRuntimeSession(graph.path, graph.contract)
    feeds["image_embeddings"] = np.random.default_rng(0).normal(size=(1, 32, 16, 16)).astype(np.float32)
    turned = {name: np.asfortranarray(feeds[name]) for name in reversed(list(feeds))}
    assert np.array_equal(session.run(feeds)["low_res_masks"], session.run(turned)["low_res_masks"])
