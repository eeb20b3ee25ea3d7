"""What pages get and give: the files of a folder, and messages, over HTTP on 127.0.0.1.

A page asks for work by posting what it has done; the answer is the next message. A message is the length of a JSON
header (uint32, little-endian), the header, and the bytes of its tensors one after the other.
"""

from __future__ import annotations

import json
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from ...contract import Array
from ...errors import ConversionError

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".json": "application/json",
    ".wasm": "application/wasm",
}
# As static hosts send: pages that are opened again, and the engine's compiled code, come out of the browser's cache.
CACHED = {"Cache-Control": "max-age=3600"}
ISOLATION = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
# A page that waits longer than this asks again.
POLL_SECONDS = 30.0
LOOK_SECONDS = 1.0
LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class Message:
    """`header`: plain JSON values. `tensors`: float32 or uint8, by name."""

    header: Mapping[str, Any]
    tensors: Mapping[str, Array]


def encode_message(message: Message) -> bytes:
    tensors = [
        {"name": name, "shape": value.shape, "dtype": str(value.dtype)} for name, value in message.tensors.items()
    ]
    header = json.dumps({**message.header, "tensors": tensors}).encode()
    parts = (np.ascontiguousarray(value).tobytes() for value in message.tensors.values())
    return b"".join((LENGTH.pack(len(header)), header, *parts))


def decode_message(data: bytes) -> Message:
    (length,) = LENGTH.unpack_from(data)
    at = LENGTH.size + length
    header = json.loads(data[LENGTH.size : at])
    tensors = {}
    for one in header.pop("tensors"):
        count = int(np.prod(one["shape"], dtype=np.int64))
        value = np.frombuffer(data, one["dtype"], count, at)
        tensors[one["name"]] = value.reshape(one["shape"])
        at += value.nbytes
    return Message(header, tensors)


class Desk:
    """The two queues between this process and one page."""

    def __init__(self) -> None:
        self.requests: SimpleQueue[bytes | None] = SimpleQueue()
        self.answers: SimpleQueue[bytes] = SimpleQueue()
        self.user_agent = ""

    def close(self) -> None:
        """Let the page end."""
        self.requests.put(None)

    def call(self, message: Message, *, seconds: float, alive: Callable[[], bool], subject: str) -> Message:
        """Return what the page answers.

        Raises:
            ConversionError: the page says that it failed, the browser ended, or nothing came in time.
        """
        self.requests.put(encode_message(message))
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            try:
                answer = decode_message(self.answers.get(timeout=LOOK_SECONDS))
            except Empty:
                if not alive():
                    raise ConversionError(f"{subject}: the browser ended; free memory, or try again") from None
                continue
            if "error" in answer.header:
                raise ConversionError(f"{subject}: {answer.header['error']}")
            return answer
        raise ConversionError(f"{subject}: no answer within {seconds:g} s; stop other work on this machine")


class Exchange:
    """A server on a port of its own, until `close`. Pages are at `url`, each with a desk's number."""

    def __init__(self, files: Mapping[str, Path], folders: Mapping[str, Path] | None = None) -> None:
        self.desks: list[Desk] = []
        self._server = _Server(files, folders or {}, self.desks)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, name="exchange", daemon=True).start()

    def open_desk(self) -> tuple[int, Desk]:
        """Return a new desk and its number."""
        desk = Desk()
        self.desks.append(desk)
        return len(self.desks) - 1, desk

    def close(self) -> None:
        for desk in self.desks:
            desk.close()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, files: Mapping[str, Path], folders: Mapping[str, Path], desks: Sequence[Desk]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.folders, self.desks = files, folders, desks

    def handle_error(self, *_: object) -> None:
        """A page that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""

    def do_GET(self) -> None:
        file = self._file(self.path.partition("?")[0].lstrip("/"))
        if file is None or not file.is_file():
            self._send(HTTPStatus.NOT_FOUND, b"not found")
        else:
            self._send(HTTPStatus.OK, file.read_bytes(), TYPES.get(file.suffix, "application/octet-stream"))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        desk = self.server.desks[int(self.path.rpartition("/")[2])]
        if body:
            desk.answers.put(body)
        else:
            desk.user_agent = self.headers.get("User-Agent", "")
        try:
            request = desk.requests.get(timeout=POLL_SECONDS)
        except Empty:
            self._send(HTTPStatus.NO_CONTENT, b"")
        else:
            self._send(HTTPStatus.GONE if request is None else HTTPStatus.OK, request or b"")

    def _file(self, path: str) -> Path | None:
        if path in self.server.files:
            return self.server.files[path]
        folder, _, rest = path.partition("/")
        return self.server.folders[folder] / rest if folder in self.server.folders and ".." not in rest else None

    def _send(self, status: HTTPStatus, content: bytes, kind: str = "application/octet-stream") -> None:
        self.send_response(status)
        headers = {"Content-Type": kind, "Content-Length": str(len(content)), **CACHED, **ISOLATION}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
