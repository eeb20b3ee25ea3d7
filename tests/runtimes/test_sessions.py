"""What every engine's session must do alike: refuse what is not the contract's, answer in whatever order it is fed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sam_export.contract import Array, EngineOptions, Graph, GraphContract, Session
from sam_export.errors import BundleError, ContractError, RequestError
from sam_export.exporters import export
from sam_export.models import SamModel, components
from sam_export.runtimes.onnxruntime_engine import OnnxRuntimeSession
from sam_export.runtimes.openvino_engine import OpenVinoSession

Opened = Callable[..., Session]
SESSIONS: Mapping[str, Opened] = {"onnx": OnnxRuntimeSession, "openvino": OpenVinoSession}


@pytest.fixture(scope="module", params=SESSIONS)
def graph(request: pytest.FixtureRequest, tiny_sam: SamModel, tmp_path_factory: pytest.TempPathFactory) -> Graph:
    """The mask decoder of the tiny model, for each engine."""
    return export(components(tiny_sam)[1], request.param, "fp32", tmp_path_factory.mktemp("graphs"))


@pytest.fixture
def opened(graph: Graph) -> Opened:
    return SESSIONS[graph.target]


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


@pytest.mark.parametrize("change", [_renamed, _reordered, _reshaped, _static, _retyped])
def test_graph_that_is_not_the_contracts_is_refused(graph: Graph, opened: Opened, change: object) -> None:
    assert callable(change)
    with pytest.raises(ContractError, match=r"the contract says .*export it again"):
        opened(graph.path, change(graph.contract))


def test_no_threads_is_a_bad_request(graph: Graph, opened: Opened) -> None:
    with pytest.raises(RequestError, match="threads 0"):
        opened(graph.path, graph.contract, EngineOptions(threads=0))


def test_feeds_that_do_not_fit_are_refused(graph: Graph, opened: Opened, feeds: dict[str, Array]) -> None:
    session = opened(graph.path, graph.contract)
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


def test_order_and_layout_of_feeds_do_not_matter(graph: Graph, opened: Opened, feeds: dict[str, Array]) -> None:
    session = opened(graph.path, graph.contract)
    feeds["image_embeddings"] = np.random.default_rng(0).normal(size=(1, 32, 16, 16)).astype(np.float32)
    turned = {name: np.asfortranarray(feeds[name]) for name in reversed(list(feeds))}
    assert np.array_equal(session.run(feeds)["low_res_masks"], session.run(turned)["low_res_masks"])


def test_missing_file_is_refused(graph: Graph, opened: Opened, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such file"):
        opened(tmp_path / f"absent{graph.path.suffix}", graph.contract)
