"""Graphs in Chromium give what they give on onnxruntime; a browser that is not there, or fails, is told."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sam_export.contract import Array, Graph
from sam_export.errors import ConversionError, NotVerifiableError
from sam_export.exporters import export
from sam_export.models import SamModel, components
from sam_export.runtimes import open_session
from sam_export.verify import evaluators
from sam_export.verify.browser import BROWSER_ENGINE, page
from sam_export.verify.browser.chromium import Chromium, find_chromium
from sam_export.verify.browser.session import BrowserSession, browser_name, shared_browser
from sam_export.verify.evaluators import evaluation_notes, evaluation_session

needs_browser = pytest.mark.skipif(page.what_is_missing() is not None, reason=str(page.what_is_missing()))


@pytest.fixture(scope="module")
def graphs(tiny_sam: SamModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Graph, ...]:
    folder = tmp_path_factory.mktemp("graphs")
    return tuple(export(part, "web", "fp32", folder) for part in components(tiny_sam))


def feeds_of(graph: Graph) -> dict[str, Array]:
    rng = np.random.default_rng(0)
    sizes = {"B": 2, "N": 3}
    shapes = {spec.name: [sizes.get(str(side), side) for side in spec.shape] for spec in graph.contract.inputs}
    feeds = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return {name: np.ones_like(value) if name == "point_labels" else value for name, value in feeds.items()}


def gone(pid: int) -> bool:
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@needs_browser
@pytest.mark.slow
def test_outputs_are_those_of_onnxruntime(graphs: tuple[Graph, ...]) -> None:
    for graph in graphs:
        session, name = evaluation_session(graph, lanes=2)
        assert name.startswith(f"{BROWSER_ENGINE} (1.")
        assert ", WASM, Chromium " in name
        assert evaluation_notes(graph, session) == ()
        feeds = feeds_of(graph)
        found = session.run(feeds)
        expected = open_session(graph.path, graph.contract, "web", graph.recipe).run(feeds)
        assert found.keys() == expected.keys()
        for output, value in expected.items():
            np.testing.assert_allclose(found[output], value, atol=1e-3 * np.abs(value).max())


@needs_browser
@pytest.mark.slow
def test_a_graph_that_does_not_open_says_why(graphs: tuple[Graph, ...], tmp_path: Path) -> None:
    encoder, decoder = graphs
    broken = tmp_path / "image_encoder.onnx"
    broken.write_bytes(b"no graph")
    with pytest.raises(ConversionError, match=r"image_encoder in Chromium: .*onnxruntime-web failed"):
        BrowserSession(replace(encoder, path=broken))
    with pytest.raises(ConversionError, match="the contract says"):
        BrowserSession(replace(encoder, contract=decoder.contract))


@needs_browser
@pytest.mark.slow
def test_a_browser_that_dies_is_an_error_and_the_next_one_works(graphs: tuple[Graph, ...]) -> None:
    _, decoder = graphs
    session = BrowserSession(decoder)
    first = shared_browser()
    os.killpg(first.chromium.pid, signal.SIGKILL)
    with pytest.raises(ConversionError, match="the browser ended"):
        session.run(feeds_of(decoder))
    assert BrowserSession(decoder).run(feeds_of(decoder))
    assert shared_browser() is not first


@needs_browser
@pytest.mark.slow
def test_nothing_runs_once_nobody_needs_it(graphs: tuple[Graph, ...]) -> None:
    session = BrowserSession(graphs[1])
    pid = shared_browser().chromium.pid
    del session
    assert gone(pid)


def test_the_browser_says_its_version() -> None:
    assert browser_name("Mozilla/5.0 (X11) HeadlessChrome/156.0.0.0 Safari/537.36") == "Chromium 156"
    assert browser_name("") == "an unknown browser"


@pytest.mark.parametrize(
    ("without", "reason"),
    [
        ("find_chromium", "chromium is not installed"),
        ("PAGES", "not part of an installed sam-export"),
        ("ESBUILD", "npm ci --prefix runtimes/web"),
    ],
)
def test_without_a_browser_it_is_onnxruntime_and_that_is_said(
    graphs: tuple[Graph, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, without: str, reason: str
) -> None:
    there: dict[str, object] = {
        "find_chromium": lambda: tmp_path,
        "PAGES": tmp_path,
        "ESBUILD": tmp_path,
        "ORT": tmp_path,
    }
    nothing: Callable[[], None] | Path = (lambda: None) if without == "find_chromium" else tmp_path / "nothing"
    for name, value in {**there, without: nothing}.items():
        monkeypatch.setattr(page, name, value)
    session, name = evaluation_session(graphs[1])
    assert name.startswith("onnxruntime (")
    (note,) = evaluation_notes(graphs[1], session)
    assert note.startswith("not run in a browser, since ")
    assert reason in note
    assert evaluators.what_is_missing() is not None


@pytest.mark.skipif(find_chromium() is None, reason="chromium is not installed")
@pytest.mark.slow
def test_a_program_that_cannot_be_started(tmp_path: Path) -> None:
    browser = Chromium(tmp_path / "nothing")
    browser.close()
    assert not browser.running


def test_no_browser_no_session(graphs: tuple[Graph, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sam_export.verify.browser.session._running", None)
    monkeypatch.setattr("sam_export.verify.browser.session.find_chromium", lambda: None)
    with pytest.raises(NotVerifiableError, match="no browser can be driven here"):
        BrowserSession(graphs[1])
