"""Whatever is sent, the answer is a problem in JSON with the right status, tells nothing of the machine, and the
server goes on."""

from __future__ import annotations

import io
import json
import socket
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import numpy as np
import pytest
from PIL import Image

from sam_export.server import ServedBundle, ServerOptions
from sam_export.server.run import ListenOptions

from .conftest import PICTURE
from .live import Live, live_server

LEAKS = ("Traceback", "/tmp", "/work", "site-packages", ".py", " at 0x", "sam_export/")
SLOW_CLIENTS = 100


@pytest.fixture(autouse=True)
def _goes_on(live: Live, picture_png: bytes) -> Iterator[None]:
    yield
    assert live.client.post("/v1/embeddings", content=picture_png).status_code == 200


@pytest.fixture(scope="module")
def strict(bundle: ServedBundle) -> Iterator[Live]:
    """A server with little patience and room."""
    options = ServerOptions(max_body_bytes=2**20, max_held_bytes=2**20, body_seconds=2, body_pause_seconds=0.3)
    with live_server(bundle, options, ListenOptions(header_seconds=0.3)) as server:
        yield server


def problem(answer: httpx.Response) -> tuple[int, str]:
    body = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["status"] == answer.status_code
    assert body["request_id"] == answer.headers["x-request-id"]
    assert not [leak for leak in LEAKS if leak in answer.text], answer.text
    return answer.status_code, body["code"]


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


def huge_png() -> bytes:
    """A PNG of 30,000 x 30,000 pixels, 2.7 GB of them, in 2.6 MB that are never inflated."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixels = zlib.compress(bytes(2**20))
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("page.html", "<script>alert(1)</script>")
    return stream.getvalue()


RGB = Image.fromarray(PICTURE)
NOISE = Image.fromarray(np.random.default_rng(1).integers(0, 256, (300, 300, 3), np.uint8))
CASES = {
    "text": (b"hello", 415, "not_a_picture"),
    "html": (b"<html><body>", 415, "not_a_picture"),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', 415, "not_a_picture"),
    "pdf": (b"%PDF-1.7\n", 415, "not_a_picture"),
    "postscript, which other readers run": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415, "not_a_picture"),
    "a pickle": (b"\x80\x04\x95\x00.", 415, "not_a_picture"),
    "zip": (zipped(), 415, "not_a_picture"),
    "30,000 x 30,000": (huge_png(), 413, "picture_too_large"),
    "more than allowed": (encoded(Image.new("L", (8000, 6251)), "PNG"), 413, "picture_too_large"),
    "truncated JPEG": (encoded(NOISE, "JPEG")[:-2000], 400, "picture_unusable"),
    "the beginning of a JPEG's header": (encoded(NOISE, "JPEG")[:100], 415, "not_a_picture"),
    "truncated PNG": (encoded(NOISE, "PNG")[:5000], 400, "picture_unusable"),
    "transparent": (encoded(Image.new("RGBA", (9, 9)), "PNG"), 400, "picture_unusable"),
    "CMYK": (encoded(Image.new("CMYK", (9, 9)), "JPEG"), 400, "picture_unusable"),
    "16 bits": (encoded(Image.new("I;16", (9, 9)), "PNG"), 400, "picture_unusable"),
    "animated": (
        encoded(RGB, "GIF", save_all=True, append_images=[NOISE.resize(RGB.size)]),
        400,
        "picture_unusable",
    ),
    "nothing": (b"", 400, "body_missing"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_no_picture_to_use(live: Live, name: str) -> None:
    data, status, code = CASES[name]
    assert problem(live.client.post("/v1/embeddings", content=data)) == (status, code)


@pytest.mark.parametrize("tail", [zipped(), b"<script>alert(1)</script>", b"%PDF-1.7\n"], ids=["zip", "script", "pdf"])
@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "GIF"])
def test_a_polyglot_is_the_picture_that_it_begins_with(live: Live, file_format: str, tail: bytes) -> None:
    """Nothing of a file is kept or sent back, so what else it is does not matter."""
    answer = live.client.post("/v1/embeddings", content=encoded(RGB, file_format) + tail)
    assert answer.status_code == 200
    assert tail not in answer.content


def test_a_polyglot_that_begins_with_something_else_is_no_picture(live: Live) -> None:
    answer = live.client.post("/v1/embeddings", content=b"%PDF-1.7\n" + encoded(RGB, "JPEG"))
    assert problem(answer) == (415, "not_a_picture")


def test_200_mb_that_are_announced_are_not_read(live: Live) -> None:
    with socket.create_connection((live.host, live.port), timeout=10) as connection:
        connection.sendall(b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: 200000000\r\n\r\n")
        assert connection.recv(64).startswith(b"HTTP/1.1 413 ")


def test_200_mb_that_are_sent_are_refused(live: Live) -> None:
    answer = live.client.post("/v1/embeddings", content=bytes(200_000_000))
    assert problem(answer) == (413, "body_too_large")


def test_too_much_in_pieces_of_no_announced_length(live: Live) -> None:
    answer = live.client.post("/v1/embeddings", content=(bytes(2**20) for _ in range(33)))
    assert problem(answer) == (413, "body_too_large")


def test_a_compressed_body_is_not_inflated(live: Live) -> None:
    answer = live.client.post("/v1/masks", content=b"x", headers={"content-encoding": "gzip"})
    assert problem(answer) == (415, "body_compressed")


def response(connection: socket.socket) -> tuple[bytes, dict[str, object]]:
    """The status line and the JSON of what comes until the server closes."""
    data = b""
    while piece := connection.recv(2**16):
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    return head.split(b"\r\n")[0], json.loads(body)


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"", b"408", "header_too_slow"),
        (b"POST /v1/embeddings HT", b"408", "header_too_slow"),
        (b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc", b"408", "body_too_slow"),
        (b"no such thing\r\n\r\n", b"400", "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 20_000, b"400", "bad_request"),
    ],
    ids=["silence", "half a header", "half a body", "no HTTP", "a header without end"],
)
def test_a_client_that_takes_its_time_or_speaks_nonsense(strict: Live, sent: bytes, status: bytes, code: str) -> None:
    with socket.create_connection((strict.host, strict.port), timeout=10) as connection:
        connection.sendall(sent)
        line, body = response(connection)
    assert line.split()[1] == status
    assert body["code"] == code


def test_many_slow_clients_take_nobody_s_place(strict: Live, picture_png: bytes) -> None:
    with ExitStack() as opened:
        address = strict.host, strict.port
        slow = [opened.enter_context(socket.create_connection(address, timeout=10)) for _ in range(SLOW_CLIENTS)]
        for connection in slow:
            connection.sendall(b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
        assert strict.client.post("/v1/embeddings", content=picture_png).status_code == 200
        assert {response(connection)[1]["code"] for connection in slow} == {"body_too_slow"}


def test_a_body_that_drips_is_ended(strict: Live) -> None:
    """Each piece comes in time, but the whole does not."""
    with socket.create_connection((strict.host, strict.port), timeout=10) as connection:
        connection.sendall(b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n")
        connection.settimeout(0.1)
        for _ in range(100):
            try:
                connection.sendall(b"x")
                if line := connection.recv(64):
                    break
            except TimeoutError:
                continue
        assert line.startswith(b"HTTP/1.1 408 ")


def test_a_body_that_drips_after_its_answer_is_cut(strict: Live) -> None:
    with socket.create_connection((strict.host, strict.port), timeout=10) as connection:
        connection.sendall(b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\nx")
        line, body = response(connection)
    assert line.split()[1] == b"413"
    assert body["code"] == "body_too_large"


def test_connections_beyond_the_limit_are_told_so(bundle: ServedBundle) -> None:
    with live_server(bundle, listening=ListenOptions(max_connections=2)) as server, ExitStack() as opened:
        address = server.host, server.port
        for _ in range(2):
            opened.enter_context(socket.create_connection(address, timeout=10))
        line, body = response(opened.enter_context(socket.create_connection(address, timeout=10)))
        assert (line, body["code"]) == (b"HTTP/1.1 503 Service Unavailable", "overloaded")


def test_bodies_together_hold_no_more_than_allowed(strict: Live) -> None:
    head = b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
    with socket.create_connection((strict.host, strict.port), timeout=10) as first:
        first.sendall(head + bytes(900_000))
        while "sam_export_upload_bytes 0.0" in strict.client.get("/metrics").text:
            pass
        answer = strict.client.post("/v1/embeddings", content=bytes(300_000))
        assert problem(answer) == (429, "overloaded")
        assert int(answer.headers["retry-after"]) >= 1
        assert response(first)[1]["code"] == "body_too_slow"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/embeddings", 405, "method_not_allowed"),
        ("DELETE", "/v1/masks", 405, "method_not_allowed"),
        ("GET", "/no/such/path", 404, "not_found"),
        ("GET", "/v1/bundle/../../etc/passwd", 404, "not_found"),
        ("GET", "/v1/bundle/%2e%2e/%2e%2e/etc/passwd", 404, "not_found"),
        ("GET", "/v1/bundle//etc/passwd", 404, "not_found"),
        ("GET", "/v1/bundle/%00", 404, "not_found"),
        ("GET", "/" + "x" * 5000, 404, "not_found"),
    ],
)
def test_what_is_not_there(live: Live, method: str, path: str, status: int, code: str) -> None:
    answer = live.client.request(method, path)
    assert problem(answer) == (status, code)
    if status == 405:
        assert answer.headers["allow"] == "POST"


def test_masks_of_more_pixels_than_one_answer_may_have(bundle: ServedBundle, picture_png: bytes) -> None:
    with live_server(bundle, ServerOptions(max_mask_pixels=5 * 6000)) as server:
        box = {"box": [1, 1, 9, 9]}
        picture_id = server.client.post("/v1/embeddings", content=picture_png).headers["x-embedding-id"]

        def ask(count: int) -> httpx.Response:
            return server.client.post("/v1/masks", json={"prompts": [box] * count, "embedding_id": picture_id})

        assert ask(5).status_code == 200
        assert problem(ask(6)) == (422, "prompt_invalid")
