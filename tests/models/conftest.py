"""A real HTTP server on 127.0.0.1 that serves one file, as well or as badly as a test asks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from . import sam2_source


@dataclass
class FileServer:
    """`breaks`: for each coming request, after how many bytes of the body the connection is cut.
    `statuses`: answered one by one before the file is served. `requests`: the headers of each request so far."""

    body: bytes
    etag: str = '"one"'
    ranges: bool = True
    claimed_bytes: int | None = None
    breaks: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)
    url: str = ""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        file = self.server.file
        file.requests.append({"path": self.path, **{name.lower(): value for name, value in self.headers.items()}})
        if file.statuses:
            return self.send_error(file.statuses.pop(0))
        start = self._start(file)
        if start and start >= len(file.body):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(file.body)}")
            return self.end_headers()
        return self._send(file, start)

    def _start(self, file: FileServer) -> int:
        asked = self.headers.get("Range")
        unchanged = self.headers.get("If-Range") in (None, file.etag)
        return int(asked.removeprefix("bytes=").removesuffix("-")) if asked and file.ranges and unchanged else 0

    def _send(self, file: FileServer, start: int) -> None:
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(file.body) - 1}/{len(file.body)}")
        if file.etag:
            self.send_header("ETag", file.etag)
        claimed = len(file.body) if file.claimed_bytes is None else file.claimed_bytes
        self.send_header("Content-Length", str(claimed - start))
        self.end_headers()
        body = file.body[start:claimed]
        self.wfile.write(body[: file.breaks.pop(0)] if file.breaks else body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""


class _Server(ThreadingHTTPServer):
    file: FileServer


@pytest.fixture
def file_server() -> Iterator[FileServer]:
    file = FileServer(bytes(range(256)) * 4096)
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.file = file
        file.url = f"http://127.0.0.1:{server.server_port}/weights/model%20one.pt"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield file
        server.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, in a path with a space and an umlaut; the network only as far as 127.0.0.1."""
    folder = tmp_path / "caché mit ü"
    monkeypatch.setenv("SAM_EXPORT_CACHE", str(folder))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return folder


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """EdgeTAM's, which holds SAM 2's source too."""
    return sam2_source.download(tmp_path_factory.mktemp("edgetam"))
