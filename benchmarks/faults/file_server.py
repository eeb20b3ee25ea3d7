"""A real HTTP server on 127.0.0.1 that serves one file: slowly, in parts that break off, or with lies about it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CHUNK = 2**14


@dataclass
class Behaviour:
    """How the file is served; may be changed between requests.

    Args:
        bytes_a_second: 0 for as fast as it goes.
        breaks: for each coming request, after how many bytes of the body the connection is cut.
        claimed_bytes: what Content-Length says instead of the truth.
        claimed_start: where the server says that a range begins, instead of where it does.
        changed: serve other bytes of the same length.
        statuses: answered one by one before the file is served.
    """

    body: bytes
    bytes_a_second: float = 0.0
    breaks: list[int] = field(default_factory=list)
    claimed_bytes: int | None = None
    claimed_start: int | None = None
    changed: bool = False
    statuses: list[int] = field(default_factory=list)
    requests: int = 0


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    behaviour: Behaviour

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that was killed is what this is for."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        now = self.server.behaviour
        now.requests += 1
        if now.statuses:
            return self.send_error(now.statuses.pop(0))
        body = bytes(len(now.body)) if now.changed else now.body
        start = self._start(len(body))
        if start >= len(body):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(body)}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        claimed = len(body) if now.claimed_bytes is None else now.claimed_bytes
        self._head(start, claimed, now)
        end = start + now.breaks.pop(0) if now.breaks else len(body)
        return self._send(body[start : min(end, max(claimed, start))], now.bytes_a_second)

    def _start(self, size: int) -> int:
        asked = self.headers.get("Range", "")
        return min(int(asked.removeprefix("bytes=").removesuffix("-")), size) if asked else 0

    def _head(self, start: int, claimed: int, now: Behaviour) -> None:
        self.send_response(206 if start else 200)
        if start:
            told = start if now.claimed_start is None else now.claimed_start
            self.send_header("Content-Range", f"bytes {told}-{claimed - 1}/{claimed}")
        self.send_header("ETag", '"one"')
        self.send_header("Content-Length", str(max(claimed - start, 0)))
        self.end_headers()

    def _send(self, body: bytes, bytes_a_second: float) -> None:
        for place in range(0, len(body), CHUNK):
            self.wfile.write(body[place : place + CHUNK])
            if bytes_a_second:
                time.sleep(CHUNK / bytes_a_second)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: clients that vanish are what this is for."""


@contextmanager
def file_server(body: bytes) -> Iterator[tuple[str, Behaviour]]:
    """Yield the file's address, and how it is served."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.behaviour = Behaviour(body)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/tiny.pth", server.behaviour
        finally:
            server.shutdown()
            thread.join()
