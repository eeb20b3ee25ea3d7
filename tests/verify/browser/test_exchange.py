"""Messages between this process and a page, without a browser: a page is anything that speaks HTTP."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from sam_export.errors import ConversionError
from sam_export.verify.browser.exchange import Exchange, Message, decode_message, encode_message

TENSORS = {
    "image": np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4),
    "graph": np.arange(7, dtype=np.uint8),
    "scalar": np.array(3.5, np.float32),
}


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[Exchange]:
    (tmp_path / "page.html").write_text("page")
    (tmp_path / "shown").mkdir()
    (tmp_path / "shown" / "one.json").write_text("{}")
    (tmp_path / "secret.txt").write_text("secret")
    made = Exchange({"page.html": tmp_path / "page.html"}, {"bundles": tmp_path / "shown"})
    yield made
    made.close()


def ask(url: str, body: bytes | None = None) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body)) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.read()


def page(url: str, answer: Callable[[Message], Message]) -> threading.Thread:
    def work() -> None:
        body = b""
        while (found := ask(url, body))[0] == 200:
            body = encode_message(answer(decode_message(found[1])))

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_message_is_what_it_was() -> None:
    found = decode_message(encode_message(Message({"method": "run"}, TENSORS)))
    assert found.header == {"method": "run"}
    assert list(found.tensors) == list(TENSORS)
    for name, value in TENSORS.items():
        assert found.tensors[name].dtype == value.dtype
        np.testing.assert_array_equal(found.tensors[name], value)


def test_files_and_nothing_else(exchange: Exchange) -> None:
    assert ask(f"{exchange.url}/page.html?desk=3") == (200, b"page")
    assert ask(f"{exchange.url}/bundles/one.json") == (200, b"{}")
    for path in ("secret.txt", "bundles/../secret.txt", "bundles/", "", "other/one.json"):
        assert ask(f"{exchange.url}/{path}")[0] == 404


def test_pages_may_use_threads(exchange: Exchange) -> None:
    with urllib.request.urlopen(f"{exchange.url}/page.html") as response:
        assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert response.headers["Cross-Origin-Embedder-Policy"] == "require-corp"


def test_a_call_is_answered_and_a_desk_closed(exchange: Exchange) -> None:
    number, desk = exchange.open_desk()
    worker = page(
        f"{exchange.url}/desks/{number}", lambda asked: Message({"doubled": True}, {"x": asked.tensors["x"] * 2})
    )
    for value in (1.0, 2.0):
        asked = Message({}, {"x": np.array([value], np.float32)})
        found = desk.call(asked, seconds=20, alive=lambda: True, subject="test")
        assert found.header == {"doubled": True}
        assert found.tensors["x"].tolist() == [2 * value]
    desk.close()
    worker.join(10)
    assert not worker.is_alive()


def test_what_a_page_cannot_do_is_an_error(exchange: Exchange) -> None:
    number, desk = exchange.open_desk()
    worker = page(f"{exchange.url}/desks/{number}", lambda _: Message({"error": "no kernel"}, {}))
    with pytest.raises(ConversionError, match="decoder: no kernel"):
        desk.call(Message({}, {}), seconds=20, alive=lambda: True, subject="decoder")
    desk.close()
    worker.join(10)


def test_a_browser_that_ends_or_hangs_is_noticed(exchange: Exchange) -> None:
    _, desk = exchange.open_desk()
    with pytest.raises(ConversionError, match="the browser ended"):
        desk.call(Message({}, {}), seconds=20, alive=lambda: False, subject="decoder")
    with pytest.raises(ConversionError, match="no answer within 0 s"):
        desk.call(Message({}, {}), seconds=0, alive=lambda: True, subject="decoder")


def test_the_length_is_the_headers_alone() -> None:
    data = encode_message(Message({"a": 1}, {}))
    assert json.loads(data[4 : 4 + int.from_bytes(data[:4], "little")]) == {"a": 1, "tensors": []}
