"""Pages of a browser that run the web package on bundles, one call at a time, and say how long each took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from ..errors import RequestError
from ..verify.browser.chromium import Chromium, find_chromium
from ..verify.browser.exchange import Desk, Exchange, Message
from ..verify.browser.page import PAGES, WEB, built_files, what_is_missing
from ..verify.browser.session import browser_name

PAGE, SCRIPTS = "bench.html", (PAGES / "bench.ts", WEB / "src" / "wasm-worker.ts")
CALL_SECONDS = 600.0

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Contestant:
    """A variant of a bundle in the folder that is served, under a name of its own."""

    name: str
    folder: str
    variant: str


class Page:
    """One tab, ended by `close` or at the end of a `with`."""

    def __init__(self, pages: Pages, desk: Desk) -> None:
        self._pages, self._desk = pages, desk

    def load(self, one: Contestant, threads: int) -> None:
        """Open the bundle."""
        answer = self._ask(one, "load", threads=threads)
        self._pages.engine = f"{answer['info']['engine']} {answer['info']['version']}"
        self._pages.browser = browser_name(self._desk.user_agent)

    def encode(self, one: Contestant, picture: bytes) -> float:
        return float(self._ask(one, "encode", picture)["milliseconds"])

    def click(self, one: Contestant, box: Box) -> float:
        return float(self._ask(one, "click", box=box)["milliseconds"])

    def first_mask(self, one: Contestant, threads: int, picture: bytes, box: Box) -> float:
        """Return the ms from the moment that the page began to open to its first mask."""
        return float(self._ask(one, "first", picture, threads=threads, box=box)["milliseconds"])

    def close(self) -> None:
        self._desk.close()

    def __enter__(self) -> Page:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, one: Contestant, method: str, picture: bytes = b"", **asked: object) -> Mapping[str, Any]:
        header = {"method": method, "name": one.name, "folder": one.folder, "variant": one.variant, **asked}
        tensors = {"picture": np.frombuffer(picture, np.uint8)} if picture else {}
        return self._pages.call(self._desk, Message(header, tensors), f"{one.name}: {method} in Chromium")


class Pages:
    """Tabs of one browser, over a folder of bundles, until the end of a `with`.

    Raises:
        RequestError: no browser can be driven here.
    """

    def __init__(self, bundles: Path, work: Path) -> None:
        program, reason = find_chromium(), what_is_missing()
        if program is None or reason is not None:
            raise RequestError(f"nothing can be timed in a browser here: {reason}")
        self.browser = self.engine = "unknown"
        self._exchange = Exchange(built_files(work, [PAGE], SCRIPTS), {"bundles": bundles})
        self._chromium = Chromium(program)

    def open(self) -> Page:
        number, desk = self._exchange.open_desk()
        self._chromium.open(f"{self._exchange.url}/{PAGE}?desk={number}")
        return Page(self, desk)

    def call(self, desk: Desk, message: Message, subject: str) -> Mapping[str, Any]:
        alive = self._chromium
        return desk.call(message, seconds=CALL_SECONDS, alive=lambda: alive.running, subject=subject).header

    def __enter__(self) -> Pages:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._chromium.close()
        self._exchange.close()
