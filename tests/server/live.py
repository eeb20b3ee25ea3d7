"""A server on 127.0.0.1 in a thread of the test, and segmenters that wait, count or fail on demand."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import uvicorn

from sam_export.runtimes import EncodedPicture, Segmenter
from sam_export.runtimes.preprocess import PreparedImage
from sam_export.server import ServedBundle, ServerOptions, create_app
from sam_export.server.run import ListenOptions, listen, make_server

PATIENCE_S = 30.0


@dataclass(frozen=True)
class Live:
    """Where a server listens, a client of it, and the server itself."""

    host: str
    port: int
    client: httpx.Client
    server: uvicorn.Server

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


@contextmanager
def live_server(
    bundle: ServedBundle, options: ServerOptions | None = None, listening: ListenOptions | None = None
) -> Iterator[Live]:
    listening = listening or ListenOptions(port=0)
    started = threading.Event()
    server = make_server(create_app(bundle, options), listening, started.set)
    with listen(ListenOptions(port=0)) as socket:
        host, port = socket.getsockname()
        thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
        thread.start()
        try:
            assert started.wait(PATIENCE_S)
            with httpx.Client(base_url=f"http://{host}:{port}", timeout=PATIENCE_S) as client:
                yield Live(host, port, client, server)
        finally:
            server.should_exit = True
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


class Gated(Segmenter):
    """Encodes once `gate` is open; `entered` counts the pictures that came to it. Raises `fault` if there is one."""

    def __init__(self, segmenter: Segmenter) -> None:
        self.__dict__.update(segmenter.__dict__)
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)
        self.fault: Exception | None = None
        self.encoded = 0

    def encode_prepared(self, prepared: PreparedImage) -> EncodedPicture:
        self.entered.release()
        assert self.gate.wait(PATIENCE_S)
        if self.fault is not None:
            raise self.fault
        self.encoded += 1
        return super().encode_prepared(prepared)


def gated(bundle: ServedBundle) -> tuple[ServedBundle, Gated]:
    segmenter = Gated(bundle.segmenters[0])
    return ServedBundle(bundle.model, (segmenter,), bundle.files), segmenter
