"""The server on a Ray of this machine; skipped where Ray is not installed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from sam_export.cli import main

PROGRAM = "import sys; from sam_export.cli import main; sys.exit(main())"
PATIENCE_S = 240


@pytest.fixture
def short_folder() -> Iterator[str]:
    """Ray's sockets need a short path."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        yield folder


@pytest.mark.slow
def test_the_same_application_on_ray(bundle_folder: Path, picture_png: bytes, short_folder: str) -> None:
    pytest.importorskip("ray.serve", reason="ray[serve] is not installed", exc_type=ImportError)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["serve", str(bundle_folder), "--ray", "--port", str(port), "--threads", "1"]
    command, surroundings = [sys.executable, "-c", PROGRAM, *words], {**os.environ, "RAY_TMPDIR": short_folder}
    with subprocess.Popen(command, env=surroundings, stderr=subprocess.PIPE, text=True) as process, ending(process):
        url = f"http://127.0.0.1:{port}"
        wait_for(url, process)
        answer = httpx.post(f"{url}/v1/embeddings", content=picture_png, headers={"X-Request-ID": "by-ray"})
        assert answer.status_code == 200
        assert set(answer.headers.get_list("x-request-id")) == {"by-ray"}, "by the application, and by Ray's proxy"
        asked = {"embedding_id": answer.headers["x-embedding-id"], "prompts": [{"box": [20, 10, 80, 50]}]}
        assert len(httpx.post(f"{url}/v1/masks", json=asked).json()["answers"]) == 1
        assert httpx.post(f"{url}/v1/embeddings", content=b"no picture").json()["code"] == "not_a_picture"
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, errors
        assert f"serving geometric on {url}/ by Ray" in errors


def test_a_cluster_that_is_not_there_is_said(
    bundle_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ray.serve", reason="ray[serve] is not installed", exc_type=ImportError)
    monkeypatch.setenv("RAY_ADDRESS", "nonsense")
    assert main(["serve", str(bundle_folder), "--ray", "--port", "0"]) == 2
    assert "serve --ray: no Ray to serve on (" in capsys.readouterr().err


@contextmanager
def ending(process: subprocess.Popen[str]) -> Iterator[None]:
    """A process that does not outlive the body."""
    try:
        yield
    finally:
        process.kill()


def wait_for(url: str, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        try:
            if httpx.get(f"{url}/healthz").status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)


def test_without_ray_there_is_a_way_out(
    bundle_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("ray", "ray.serve"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["serve", str(bundle_folder), "--ray"]) == 2
    assert "pip install 'sam-export[ray]'" in capsys.readouterr().err
