"""The outermost layer: a request id, a line in the log, the metrics, and an answer to what nobody caught."""

from __future__ import annotations

import logging
import re
import time
import traceback
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .metrics import Metrics
from .problems import CLIENT_CLOSED, INTERNAL, Problem, problem_response

ACCESS = logging.getLogger("sam_export.access")
FAULTS = logging.getLogger("sam_export.faults")
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
MAX_LOGGED_PATH = 200
# No browser guesses what a file is, and no other site is told where its visitors come from.
ALWAYS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


@dataclass(frozen=True)
class AccessLine:
    """One request in the log. No query, no header and nothing of a body is in it."""

    time: str
    request_id: str
    client: str | None
    method: str
    path: str
    status: int
    ms: float
    bytes_in: int
    bytes_out: int


@dataclass(frozen=True)
class FaultLine:
    """An error of the server's own."""

    time: str
    request_id: str
    error: str
    traceback: str


@dataclass(eq=False)
class _Exchange:
    request_id: str
    started: float = field(default_factory=time.perf_counter)
    status: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


class Observer:
    """ASGI middleware. Whatever is raised below ends here."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(_request_id(Headers(scope=scope).get("x-request-id")))
        scope.setdefault("state", {})["request_id"] = exchange.request_id

        async def counted_receive() -> Message:
            message = await receive()
            exchange.bytes_in += len(message.get("body", b""))
            return message

        async def observed_send(message: Message) -> None:
            _observe(exchange, message)
            await send(message)

        try:
            await self._app(scope, counted_receive, observed_send)
        except Exception as exc:  # the caller gets an answer, and the log the cause, whatever it is
            log_fault(exchange.request_id, exc)
            if not exchange.status:
                problem = Problem(500, "internal", INTERNAL)
                await problem_response(problem, exchange.request_id)(scope, receive, observed_send)
        finally:
            self._finish(exchange, scope)

    def _finish(self, exchange: _Exchange, scope: Scope) -> None:
        seconds = time.perf_counter() - exchange.started
        status = exchange.status or CLIENT_CLOSED
        self._metrics.answered(scope["method"], getattr(scope.get("route"), "path", "none"), status, seconds)
        client = scope.get("client")
        line = AccessLine(
            time=_now(),
            request_id=exchange.request_id,
            client=client[0] if client else None,
            method=scope["method"],
            path=scope["path"][:MAX_LOGGED_PATH],
            status=status,
            ms=round(1e3 * seconds, 1),
            bytes_in=exchange.bytes_in,
            bytes_out=exchange.bytes_out,
        )
        ACCESS.info("%s", msgspec.json.encode(line).decode())


def log_fault(request_id: str, exc: Exception) -> None:
    """Write an error of the server's own to its log."""
    text = "".join(traceback.format_exception(exc))
    FAULTS.error("%s", msgspec.json.encode(FaultLine(_now(), request_id, type(exc).__name__, text)).decode())


def _request_id(given: str | None) -> str:
    """Return the caller's id, unless it would disturb a log."""
    return given if given is not None and REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _observe(exchange: _Exchange, message: Message) -> None:
    if message["type"] == "http.response.start":
        exchange.status = message["status"]
        headers = MutableHeaders(scope=message)
        headers["X-Request-ID"] = exchange.request_id
        for name, value in ALWAYS.items():
            headers.setdefault(name, value)
    exchange.bytes_out += len(message.get("body", b""))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
