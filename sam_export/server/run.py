"""Serving an application on an address, until a signal says to stop; then what was begun is answered first."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI

from ..errors import RequestError
from .protocol import HEADER_SECONDS, MAX_CONNECTIONS, protocol_type

MAX_PORT = 65535
MAX_HEADER_BYTES = 16 * 2**10
KEEP_ALIVE_SECONDS = 15
BACKLOG = 256


@dataclass(frozen=True)
class ListenOptions:
    """Where a server listens, and how it treats connections. Port 0 takes a free one.

    Args:
        header_seconds: for a request's header.
        drain_seconds: for requests under way when it is told to stop.

    Raises:
        RequestError: no such port.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    header_seconds: float = HEADER_SECONDS
    drain_seconds: int = 60
    max_connections: int = MAX_CONNECTIONS

    def __post_init__(self) -> None:
        if not 0 <= self.port <= MAX_PORT:
            raise RequestError(f"--port {self.port}: allowed: 0 to {MAX_PORT}")


def listen(options: ListenOptions) -> socket.socket:
    """Return a listening socket.

    Raises:
        RequestError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        return socket.create_server((options.host, options.port), family=family, backlog=BACKLOG)
    except OSError as exc:
        raise RequestError(
            f"{options.host} port {options.port}: cannot be listened on ({exc.strerror or exc}); "
            "give another --host or --port"
        ) from exc


def serve(app: FastAPI, listening: socket.socket, options: ListenOptions, started: Callable[[], None]) -> None:
    """Answer requests until SIGTERM or SIGINT, then finish those under way.

    Args:
        started: called once requests are answered.
    """
    log_to_stderr()
    make_server(app, options, started).run(sockets=[listening])


def make_server(app: FastAPI, options: ListenOptions, started: Callable[[], None]) -> uvicorn.Server:
    """Return what `serve` runs; set `should_exit` to stop it from another thread."""
    config = uvicorn.Config(
        app,
        http=protocol_type(options.header_seconds, options.max_connections),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=options.drain_seconds,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
    )
    return _Server(config, started)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._tell = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._tell()


def log_to_stderr() -> None:
    """Write each line as it is: access and faults are JSON already."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    for name, level in (("sam_export.access", "INFO"), ("sam_export.faults", "ERROR"), ("uvicorn", "ERROR")):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(level)
