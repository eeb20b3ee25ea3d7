"""API keys, origins, request ids, and what the log and the metrics hold."""

from __future__ import annotations

import json
import logging

import pytest

from sam_export.server import ServedBundle, ServerOptions

from .live import Live, live_server

KEY = "a-key-of-a-test-0123456789"
ELSEWHERE = "https://elsewhere.example"


@pytest.mark.parametrize("path", ["/v1/bundle/bundle.json", "/metrics"])
def test_a_key_opens_what_is_guarded(bundle: ServedBundle, path: str) -> None:
    with live_server(bundle, ServerOptions(api_keys=("another-key-0123456789", KEY))) as server:
        get = server.client.get
        assert get(path, headers={"Authorization": f"Bearer {KEY}"}).status_code == 200
        for wrong in ({}, {"Authorization": "Bearer"}, {"Authorization": KEY}, {"Authorization": f"Bearer {KEY}x"}):
            refused = get(path, headers=wrong)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"] == "Bearer"
            assert refused.json()["code"] == "unauthorised"
        assert get("/healthz").status_code == get("/").status_code == get("/docs").status_code == 200


def test_a_key_that_is_no_ascii_is_refused(bundle: ServedBundle) -> None:
    with live_server(bundle, ServerOptions(api_keys=(KEY,))) as server:
        headers = [(b"authorization", b"Bearer \xff\xfe")]
        assert server.client.get("/v1/bundle/bundle.json", headers=headers).status_code == 401


def test_other_origins_are_refused_by_default(live: Live, picture_png: bytes) -> None:
    answer = live.client.post("/v1/embeddings", content=picture_png, headers={"Origin": ELSEWHERE})
    assert answer.status_code == 403
    assert answer.json()["code"] == "origin_not_allowed"
    assert "access-control-allow-origin" not in answer.headers
    asked = {"Origin": ELSEWHERE, "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in live.client.options("/v1/embeddings", headers=asked).headers


def test_the_server_s_own_pages_may_call(live: Live, picture_png: bytes) -> None:
    answer = live.client.post("/v1/embeddings", content=picture_png, headers={"Origin": live.url})
    assert answer.status_code == 200


def test_an_origin_that_is_allowed(bundle: ServedBundle, picture_png: bytes) -> None:
    with live_server(bundle, ServerOptions(allow_origins=(ELSEWHERE,), api_keys=(KEY,))) as server:
        asked = {"Origin": ELSEWHERE, "Access-Control-Request-Method": "POST"}
        assert (
            server.client.options("/v1/embeddings", headers=asked).headers["access-control-allow-origin"] == ELSEWHERE
        )
        refused = server.client.post("/v1/embeddings", content=picture_png, headers={"Origin": ELSEWHERE})
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == ELSEWHERE, "a page must be able to read why"
        answer = server.client.post(
            "/v1/embeddings",
            content=picture_png,
            headers={"Origin": ELSEWHERE, "Authorization": f"Bearer {KEY}"},
        )
        assert answer.status_code == 200
        assert "X-Embedding-Id" in answer.headers["access-control-expose-headers"]
        other = server.client.post("/v1/embeddings", content=b"x", headers={"Origin": "https://third.example"})
        assert other.status_code == 403


@pytest.mark.parametrize("given", ["abc-123", "x" * 128])
def test_a_request_id_comes_back(live: Live, given: str) -> None:
    assert live.client.get("/healthz", headers={"X-Request-ID": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, 'a"b', "a b", "ä"])
def test_a_request_id_that_would_disturb_a_log_is_replaced(live: Live, given: str) -> None:
    answer = live.client.get("/healthz", headers=[(b"x-request-id", given.encode("latin-1"))])
    assert len(answer.headers["x-request-id"]) == 32


def test_the_log_has_a_line_a_request_and_nothing_of_its_content(
    live: Live, picture_png: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "sam_export.access"):
        headers = {"X-Request-ID": "the-one", "Authorization": "Bearer secret"}
        live.client.post("/v1/embeddings?token=secret", content=picture_png, headers=headers)
    (line,) = [json.loads(record.message) for record in caplog.records if record.name == "sam_export.access"]
    assert line["request_id"] == "the-one"
    assert (line["method"], line["path"], line["status"]) == ("POST", "/v1/embeddings", 200)
    assert line["bytes_in"] == len(picture_png)
    assert line["bytes_out"] > 0
    assert "secret" not in caplog.text


def test_metrics_count_by_route_and_status_and_never_by_path(live: Live) -> None:
    live.client.get("/no/such/path")
    live.client.get("/v1/bundle/bundle.json")
    live.client.request("BREW", "/healthz")
    text = live.client.get("/metrics").text
    assert 'sam_export_requests_total{method="GET",route="/v1/bundle/{path:path}",status="200"}' in text
    assert 'method="other"' in text
    assert "no/such" not in text
    assert "process_resident_memory_bytes" in text
