"""Which session measures a graph on this machine, and what to call it."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping

from ..contract import Array, EngineOptions, EngineReport, Graph, Session
from ..errors import NotVerifiableError, UnsupportedError
from ..models.components import LARGE_BYTES
from ..runtimes import open_session
from .browser import BROWSER_ENGINE
from .browser.page import what_is_missing
from .lanes import SessionPool, lanes_of, threads_of_lane


def evaluation_session(graph: Graph, *, lanes: int = 1) -> tuple[Session, str]:
    """Return the graph, opened for the gate, and what runs it, as bundles and reports name it.

    Engines compute in the precision that the graph's recipe names. Off macOS a Core ML graph is loaded back and
    evaluated op by op; a web graph runs in a browser, or on onnxruntime where none is.

    Args:
        lanes: how many threads may run the session at once, if the engine allows it; the cores are shared among them.

    Raises:
        MissingDependencyError: the engine is not installed.
        NotVerifiableError: nothing on this machine computes the graph as its recipe says.
        BundleError, ContractError: the file is not the graph that its contract describes.
    """
    session = _opened(graph, 1 if _is_large(graph) else lanes)
    return session, evaluator_name(session)


def evaluator_name(session: Session) -> str:
    """Return the engine with its version, device and compute precision; the precision differs between components."""
    report = session.report
    return f"{report.engine} ({report.version}, {report.device})"


def evaluation_notes(graph: Graph, session: Session) -> tuple[str, ...]:
    """Return what the measurement cannot say about the graph on other devices."""
    computed = session.report.compute_precision
    return (*_not_in_a_browser(graph, session), *_float16_storage(graph, session, computed))


def _not_in_a_browser(graph: Graph, session: Session) -> tuple[str, ...]:
    if graph.target != "web" or session.report.engine == BROWSER_ENGINE:
        return ()
    return (
        f"not run in a browser, since {what_is_missing()}: measured with {session.report.engine}, whose sums differ a "
        "little; `sam-export verify` measures again where a browser is",
    )


def _float16_storage(graph: Graph, session: Session, computed: str) -> tuple[str, ...]:
    if graph.recipe.storage == "fp16" and computed == "fp32":
        return (
            f"{graph.contract.component}: fp16 storage, measured with {session.report.engine} computing in fp32; "
            "a device that computes in fp16 rounds more",
        )
    return ()


class EncodedOnce:
    """An image encoder that remembers what it gave for each picture, since the gate, the report and a search ask again.

    Satisfies `contract.Session`. Holds one set of embeddings for each picture: 4 MB for SAM.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.lanes = lanes_of([session])
        self._outputs: dict[str, dict[str, Array]] = {}

    @property
    def report(self) -> EngineReport:
        return self._session.report

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        key = hashlib.sha256(feeds["image"].tobytes()).hexdigest()
        if key not in self._outputs:
            self._outputs[key] = self._session.run(feeds)
        return self._outputs[key]


def _is_large(graph: Graph) -> bool:
    """An engine holds the weights once more for each session, so that such a graph is opened once, with all threads."""
    folder = graph.path.parent
    return sum((folder / file).stat().st_size for file in graph.files) > LARGE_BYTES


def _opened(graph: Graph, lanes: int) -> Session:
    if graph.target == "coreml" and sys.platform != "darwin":
        from .mil.session import MilSession

        session = MilSession(graph.path, graph.contract)
        # Nothing in it changes once it is open, so that one serves all lanes.
        return session if lanes == 1 else SessionPool([session] * lanes)
    if graph.target == "web" and what_is_missing() is None:
        from .browser.session import BrowserSession

        return BrowserSession(graph) if lanes == 1 else SessionPool([BrowserSession(graph) for _ in range(lanes)])
    if graph.target == "coreml" or lanes == 1:
        return _open(graph, EngineOptions())
    options = EngineOptions(threads=threads_of_lane(lanes))
    return SessionPool([_open(graph, options) for _ in range(lanes)])


def _open(graph: Graph, options: EngineOptions) -> Session:
    try:
        return open_session(graph.path, graph.contract, graph.target, graph.recipe, options)
    except UnsupportedError as exc:
        raise NotVerifiableError(str(exc)) from exc
