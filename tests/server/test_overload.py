"""More requests than a server can answer, faults of its engine, callers that leave, and its end."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import numpy as np
import pytest

from sam_export.server import ServedBundle, ServerOptions

from ..runtimes.conftest import png
from .live import PATIENCE_S, Gated, Live, gated, live_server

CALLERS = 16


def picture(number: int) -> bytes:
    return png(np.random.default_rng(number).integers(0, 256, (20, 30, 3), np.uint8))


@pytest.fixture
def callers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(CALLERS) as threads:
        yield threads


@contextmanager
def slow(bundle: ServedBundle, options: ServerOptions | None = None) -> Iterator[tuple[Live, Gated]]:
    """A server whose encoder waits at a gate."""
    served, segmenter = gated(bundle)
    with live_server(served, options) as live:
        try:
            yield live, segmenter
        finally:
            segmenter.gate.set()


def send(live: Live, data: bytes) -> httpx.Response:
    return httpx.post(f"{live.url}/v1/embeddings", content=data, timeout=PATIENCE_S)


def gauge(live: Live, name: str) -> float:
    lines = live.client.get("/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def waiting(live: Live, count: int) -> Callable[[], bool]:
    return lambda: gauge(live, "sam_export_encoder_jobs") == count


def test_what_finds_no_place_is_told_when_to_come_again(bundle: ServedBundle, callers: ThreadPoolExecutor) -> None:
    with slow(bundle, ServerOptions(max_waiting=2)) as (live, segmenter):
        answered = [callers.submit(send, live, picture(number)) for number in range(3)]
        wait_until(waiting(live, 3))
        refused = [send(live, picture(number)) for number in range(10, 13)]
        segmenter.gate.set()
        assert [answer.result().status_code for answer in answered] == [200] * 3
        assert [answer.status_code for answer in refused] == [429] * 3
        assert all(1 <= int(answer.headers["retry-after"]) <= 120 for answer in refused)
        assert refused[0].json()["code"] == "overloaded"
        assert send(live, picture(10)).status_code == 200, "it recovers at once"


def test_a_full_queue_refuses_before_the_body_is_sent(bundle: ServedBundle, callers: ThreadPoolExecutor) -> None:
    with slow(bundle, ServerOptions(max_waiting=1)) as (live, segmenter):
        answered = [callers.submit(send, live, picture(number)) for number in range(2)]
        wait_until(waiting(live, 2))
        with socket.create_connection((live.host, live.port), timeout=PATIENCE_S) as connection:
            connection.sendall(b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n\r\n")
            assert connection.recv(64).startswith(b"HTTP/1.1 429 ")
        segmenter.gate.set()
        assert [answer.result().status_code for answer in answered] == [200] * 2


def test_many_at_once_are_all_answered_one_way_or_the_other(bundle: ServedBundle, callers: ThreadPoolExecutor) -> None:
    with live_server(bundle, ServerOptions(max_waiting=2, cache_bytes=0)) as live:
        answers = list(callers.map(lambda number: send(live, picture(number)).status_code, range(100)))
        assert set(answers) <= {200, 429}
        assert answers.count(200) >= 1
        assert gauge(live, "sam_export_encoder_jobs") == gauge(live, "sam_export_upload_bytes") == 0


def test_a_picture_that_several_send_at_once_is_encoded_once(bundle: ServedBundle, callers: ThreadPoolExecutor) -> None:
    with slow(bundle, ServerOptions(max_waiting=1)) as (live, segmenter):
        answers = [callers.submit(send, live, picture(0)) for _ in range(8)]
        wait_until(lambda: gauge(live, "sam_export_upload_bytes") == 8 * len(picture(0)))
        segmenter.gate.set()
        assert [answer.result().status_code for answer in answers] == [200] * 8
        assert segmenter.encoded == 1
        assert send(live, picture(0)).headers["x-cache"] == "hit"
        assert segmenter.encoded == 1


def test_the_cache_is_bounded_by_bytes(bundle: ServedBundle) -> None:
    size = sum(
        feature.nbytes for feature in bundle.segmenters[0].encode(np.zeros((9, 9, 3), np.uint8)).features.values()
    )
    with live_server(bundle, ServerOptions(cache_bytes=2 * size)) as live:
        ids = [send(live, picture(number)).headers["x-embedding-id"] for number in range(3)]
        assert gauge(live, "sam_export_kept_bytes") == 2 * size
        prompts = [{"box": [1, 1, 9, 9]}]
        answers = [live.client.post("/v1/masks", json={"embedding_id": one, "prompts": prompts}) for one in ids]
        assert [answer.status_code for answer in answers] == [404, 200, 200]
        assert send(live, picture(0)).headers["x-cache"] == "miss"


def test_a_caller_who_leaves_is_not_encoded_for(bundle: ServedBundle, callers: ThreadPoolExecutor) -> None:
    with slow(bundle) as (live, segmenter):
        first = callers.submit(send, live, picture(0))
        assert segmenter.entered.acquire(timeout=PATIENCE_S)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{live.url}/v1/embeddings", content=picture(1), timeout=0.3)
        wait_until(waiting(live, 1))
        segmenter.gate.set()
        assert first.result().status_code == 200
        assert send(live, picture(2)).status_code == 200
        assert segmenter.encoded == 2


def test_one_who_leaves_does_not_take_the_picture_from_another(
    bundle: ServedBundle, callers: ThreadPoolExecutor
) -> None:
    with slow(bundle) as (live, segmenter):
        stays = callers.submit(send, live, picture(0))
        assert segmenter.entered.acquire(timeout=PATIENCE_S)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{live.url}/v1/embeddings", content=picture(0), timeout=0.3)
        segmenter.gate.set()
        assert stays.result().status_code == 200


def test_a_fault_of_the_encoder_is_answered_logged_and_over(
    bundle: ServedBundle, caplog: pytest.LogCaptureFixture
) -> None:
    with slow(bundle) as (live, segmenter):
        segmenter.gate.set()
        segmenter.fault = RuntimeError("secret of the engine")
        with caplog.at_level(logging.ERROR, "sam_export.faults"):
            answer = httpx.post(f"{live.url}/v1/embeddings", content=picture(0), headers={"X-Request-ID": "faulty"})
        assert answer.status_code == 500
        assert answer.json()["code"] == "internal"
        assert "secret" not in answer.text
        fault = json.loads(caplog.records[-1].message)
        assert (fault["request_id"], fault["error"]) == ("faulty", "RuntimeError")
        segmenter.fault = None
        assert send(live, picture(0)).status_code == 200


def test_an_answer_that_takes_too_long_is_given_up(bundle: ServedBundle) -> None:
    with slow(bundle, ServerOptions(answer_seconds=0.2)) as (live, segmenter):
        answer = send(live, picture(0))
        assert (answer.status_code, answer.json()["code"]) == (503, "too_slow")
        assert int(answer.headers["retry-after"]) >= 1
        wait_until(waiting(live, 0))
        segmenter.gate.set()
        assert send(live, picture(1)).status_code == 200


def test_what_was_begun_is_answered_before_the_end(bundle: ServedBundle, callers: ThreadPoolExecutor) -> None:
    with slow(bundle) as (live, segmenter):
        answers = [callers.submit(send, live, picture(number)) for number in range(3)]
        wait_until(waiting(live, 3))
        live.server.should_exit = True
        wait_until(lambda: not is_listening(live))
        segmenter.gate.set()
        assert [answer.result().status_code for answer in answers] == [200] * 3


def is_listening(live: Live) -> bool:
    try:
        socket.create_connection((live.host, live.port), timeout=1).close()
    except OSError:
        return False
    return True
