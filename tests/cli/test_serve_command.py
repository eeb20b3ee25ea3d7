"""`sam-export serve`: it starts, says where, answers, and ends cleanly; what cannot be served is one line."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

from sam_export.cli import main

from ..runtimes.conftest import write_geometric_bundle

PROGRAM = "import sys; from sam_export.cli import main; sys.exit(main())"
PATIENCE_S = 60


@contextmanager
def serving(*words: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command as a process, and the address that it says."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "serve", *words, "--port", "0"],
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    killer = threading.Timer(PATIENCE_S, process.kill)
    killer.start()
    try:
        line = process.stderr.readline()
        assert "serving geometric on http://127.0.0.1:" in line, line + process.stderr.read()
        yield process, line.split()[3].rstrip("/")
    finally:
        killer.cancel()
        process.kill()
        process.communicate()


def test_it_serves_until_it_is_told_to_stop(bundle: Path) -> None:
    with serving(str(bundle)) as (process, address):
        assert httpx.get(f"{address}/healthz").json() == {"status": "ready"}
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert '"path":"/healthz"' in errors
    assert "Traceback" not in errors


def test_the_key_comes_from_the_environment_or_a_file(bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("the-key-of-the-file\n\nanother-key-of-the-file\n")
    with serving(str(bundle), "--api-key-file", str(file), SAM_EXPORT_API_KEY="the-key-of-the-shell") as (_, address):
        url = f"{address}/v1/bundle/bundle.json"
        assert httpx.get(url).status_code == 401
        for key in ("the-key-of-the-file", "another-key-of-the-file", "the-key-of-the-shell"):
            assert httpx.get(url, headers={"Authorization": f"Bearer {key}"}).status_code == 200


@pytest.fixture
def short_key(tmp_path: Path) -> Path:
    file = tmp_path / "short"
    file.write_text("secret\n")
    return file


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--port", "99999"], "--port 99999: allowed: 0 to 65535"),
        (["--engines", "0"], "0 engines, allowed: 1 to 64"),
        (["--queue", "0"], "max_waiting is 0, allowed: at least 1"),
        (["--max-mb", "0"], "max_body_bytes is 0"),
        (["--timeout", "nan"], "body_seconds is nan"),
        (["--page", "no/such/page"], "no/such/page: no index.html in it"),
        (["--api-key-file", "no/such/file"], "no/such/file: no file of API keys"),
        (["--host", "192.0.2.1"], "192.0.2.1 port 8000: cannot be listened on"),
        (["--browser-bundle", "no/such/bundle"], "no/such/bundle: not a bundle"),
        (["--provider", "Nonsense"], "provider 'Nonsense' is not in this build"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_served_is_one_line(
    bundle: Path, words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", str(bundle), *words]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


def test_a_key_that_can_be_guessed_is_refused(
    bundle: Path, short_key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", str(bundle), "--api-key-file", str(short_key)]) == 2
    said = capsys.readouterr().err
    assert "one of 6 characters, allowed: at least 16" in said
    assert "secret" not in said


def test_an_unknown_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", str(tmp_path / "none")]) == 2
    assert "not a bundle (there is nothing of that name)" in capsys.readouterr().err


def test_a_bundle_that_does_not_give_its_own_masks_is_not_served(
    graph_folder: Path, picture: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mask = np.zeros((60, 100), np.bool_)
    mask[:9, :9] = True
    wrong = write_geometric_bundle(graph_folder, picture, mask, tmp_path)
    assert main(["serve", str(wrong)]) == 1
    assert "0.97" in capsys.readouterr().err


def test_a_port_that_is_taken(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["serve", str(bundle), "--port", str(taken.getsockname()[1])]) == 2
    assert "give another --host or --port" in capsys.readouterr().err


@pytest.mark.parametrize("package", ["fastapi", "uvicorn", "prometheus_client"])
def test_without_a_package_there_is_a_way_out(
    bundle: Path, package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["serve", str(bundle)]) == 2
    assert "pip install 'sam-export[serve]'" in capsys.readouterr().err
