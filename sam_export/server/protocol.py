"""uvicorn's HTTP/1.1 with what it leaves to a proxy: patience that ends, a number of connections, and JSON for all.

uvicorn waits for ever for a request's header, and for the rest of a body that was answered early.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import msgspec
from uvicorn.protocols.http.h11_impl import H11Protocol

from .problems import MEDIA_TYPE, ProblemBody

HEADER_SECONDS = 10.0
MAX_CONNECTIONS = 1024


class PatientProtocol(H11Protocol):
    """Closes a connection that brings no whole header, or no end of an answered request's body, in HEADER_SECONDS."""

    header_seconds = HEADER_SECONDS
    max_connections = MAX_CONNECTIONS
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            self._refuse(503, "overloaded", "too many connections; try again later")
        else:
            self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_answering():
            self._stop_waiting()
        elif not self.transport.is_closing():
            self._wait()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._owes_body():
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "bad_request", msg)

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _owes_body(self) -> bool:
        return self.cycle is not None and self.cycle.more_body and not self.transport.is_closing()

    def _wait(self) -> None:
        if self._patience is None:
            self._patience = self.loop.call_later(self.header_seconds, self._lose_patience)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _lose_patience(self) -> None:
        self._patience = None
        if self.cycle is None or not self._owes_body():
            self._refuse(408, "header_too_slow", f"no whole header within {self.header_seconds:g} s")
        else:
            self.transport.close()

    def _refuse(self, status: int, code: str, detail: str) -> None:
        """Answer outside of the application, and close."""
        phrase = HTTPStatus(status).phrase
        body = msgspec.json.encode(ProblemBody(code, phrase, status, detail, uuid4().hex))
        head = (
            f"HTTP/1.1 {status} {phrase}\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


def protocol_type(header_seconds: float = HEADER_SECONDS, max_connections: int = MAX_CONNECTIONS) -> type[Any]:
    """Return the protocol with limits of its own."""
    limits = {"header_seconds": header_seconds, "max_connections": max_connections}
    return type("LimitedProtocol", (PatientProtocol,), limits)
