"""One graph in a page of headless Chromium, run by onnxruntime-web's WebAssembly; satisfies `contract.Session`.

The page opens the graph with the web package's own code, so that what the gate measures is what a page will do.
"""

from __future__ import annotations

import re
import tempfile
import weakref
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ...contract import Array, EngineReport, Graph
from ...errors import NotVerifiableError
from . import BROWSER_ENGINE
from .chromium import Chromium, find_chromium
from .exchange import Exchange, Message
from .page import PAGES, built_files, what_is_missing

# Largest encoders take a minute on one slow core.
CALL_SECONDS = 900.0
PAGE = "gate.html"
SCRIPT = "gate-worker.ts"


class Browser:
    """Chromium and what serves its pages, shared by all graphs that are open at once, and gone with the last."""

    def __init__(self) -> None:
        program = find_chromium()
        reason = what_is_missing()
        if program is None or reason is not None:
            raise NotVerifiableError(f"no browser can be driven here: {reason}")
        folder = tempfile.TemporaryDirectory(prefix="sam-export-page-")
        self.exchange = Exchange(built_files(Path(folder.name), [PAGE], [PAGES / SCRIPT]))
        self.chromium = Chromium(program)
        weakref.finalize(self, _close, self.chromium.close, self.exchange, folder)


def _close(
    end_chromium: Callable[[], object | None], exchange: Exchange, folder: tempfile.TemporaryDirectory[str]
) -> None:
    end_chromium()
    exchange.close()
    folder.cleanup()


_running: weakref.ref[Browser] | None = None


def shared_browser() -> Browser:
    """Return the browser that runs, or a new one. Raises NotVerifiableError where there is none."""
    global _running  # noqa: PLW0603  # one for the process, as long as anyone needs it
    browser = _running() if _running is not None else None
    if browser is None or not browser.chromium.running:
        browser = Browser()
        _running = weakref.ref(browser)
    return browser


class BrowserSession:
    """A graph in a tab of its own.

    Raises:
        NotVerifiableError: there is no browser here.
        ConversionError: onnxruntime-web does not open the graph, or it is not the one that its contract describes.
    """

    def __init__(self, graph: Graph, *, threads: int = 1) -> None:
        self._browser = shared_browser()
        self._subject = f"{graph.contract.component} in Chromium"
        number, self._desk = self._browser.exchange.open_desk()
        self._names = graph.contract.input_names
        weakref.finalize(self, self._desk.close)
        self._browser.chromium.open(f"{self._browser.exchange.url}/{PAGE}?desk={number}")
        stored = np.frombuffer(graph.path.read_bytes(), np.uint8)
        header = {"method": "open", "contract": asdict(graph.contract), "threads": threads}
        opened = self._call(Message(header, {"graph": stored})).header
        self.report = EngineReport(
            engine=BROWSER_ENGINE,
            version=opened["version"],
            device=f"WASM, {browser_name(self._desk.user_agent)}",
            compute_precision=graph.recipe.compute,
            threads=opened["threads"],
            options={},
        )

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        taken = {name: np.asarray(feeds[name], np.float32) for name in self._names}
        return dict(self._call(Message({"method": "run"}, taken)).tensors)

    def _call(self, message: Message) -> Message:
        alive = self._browser.chromium
        return self._desk.call(message, seconds=CALL_SECONDS, alive=lambda: alive.running, subject=self._subject)


def browser_name(user_agent: str) -> str:
    """Return the name and the main version of a browser, as it says them of itself."""
    found = re.search(r"Chrome/(\d+)", user_agent)
    return f"Chromium {found[1]}" if found else "an unknown browser"
