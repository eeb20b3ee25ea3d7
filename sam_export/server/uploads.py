"""Bodies of requests: bounded in size, in time, and in what all of them hold in memory together. Never on disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

from .options import ServerOptions
from .problems import CLIENT_CLOSED, Problem, overloaded

RETRY_AFTER_S = 2


class Uploads:
    """Reads bodies. Belongs to one event loop."""

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        self._held = 0

    @property
    def held_bytes(self) -> int:
        return self._held

    @asynccontextmanager
    async def body(self, request: Request, max_bytes: int) -> AsyncIterator[bytes]:
        """Give the whole body; it counts as held until the end of the `with`.

        Raises:
            Problem: 413 too large, 408 too slow, 415 compressed, 429 all bodies together hold too much, 400 none.
        """
        _require_plain(request)
        _require_size(int(request.headers.get("content-length", 0)), max_bytes)
        body = bytearray()
        try:
            await self._read(request, body, max_bytes)
            if not body:
                raise Problem(400, "body_missing", "the request has no body; send the picture, or JSON, as the body")
            yield bytes(body)
        finally:
            self._held -= len(body)

    async def _read(self, request: Request, body: bytearray, max_bytes: int) -> None:
        try:
            async with asyncio.timeout(self._options.body_seconds):
                more = True
                while more:
                    piece, more = await asyncio.wait_for(_piece(request), self._options.body_pause_seconds)
                    _require_size(len(body) + len(piece), max_bytes)
                    self._hold(piece)
                    body += piece
        except TimeoutError as exc:
            raise self._too_slow(len(body)) from exc

    def _hold(self, piece: bytes) -> None:
        if self._held + len(piece) > self._options.max_held_bytes:
            raise overloaded("too many bodies are being sent at once; try again later", RETRY_AFTER_S)
        self._held += len(piece)

    def _too_slow(self, size: int) -> Problem:
        options = self._options
        return Problem(
            408,
            "body_too_slow",
            f"{size} bytes of the body came in time, allowed: {options.body_seconds:g} s for all of it and "
            f"{options.body_pause_seconds:g} s between two pieces; send it again",
            {"Connection": "close"},
        )


async def _piece(request: Request) -> tuple[bytes, bool]:
    message = await request.receive()
    if message["type"] == "http.disconnect":
        raise client_gone()
    return message.get("body", b""), message.get("more_body", False)


def client_gone() -> Problem:
    """Nobody reads this answer; the log and the metrics count it."""
    return Problem(CLIENT_CLOSED, "client_gone", "the client went away before it was answered")


def _require_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise Problem(413, "body_too_large", f"the body has {size} bytes or more, at most {max_bytes}; send less")


def _require_plain(request: Request) -> None:
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise Problem(415, "body_compressed", "the body is compressed as a whole; send it without Content-Encoding")
