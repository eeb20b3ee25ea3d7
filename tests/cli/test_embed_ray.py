"""`sam-export embed --ray`: the same files, each picture once, whatever becomes of a worker."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam_export.cli import main
from sam_export.runtimes.ray_embedding import BATCH

# The command, with a line in a file for each picture that a worker encodes. Ray sends the class along.
PROGRAM = """
import sys
from sam_export.cli import main
from sam_export.runtimes import ray_embedding

COUNTS = sys.argv.pop(1)

class Counting(ray_embedding.Encoder):
    def __init__(self, *args):
        super().__init__(*args)
        encode = self.segmenter.encode_prepared

        def counted(prepared):
            encoded = encode(prepared)
            with open(COUNTS, "a") as stream:
                stream.write("encoded\\n")
            return encoded

        self.segmenter.encode_prepared = counted

ray_embedding.Encoder = Counting
sys.exit(main())
"""
PATIENCE_S = 300


@pytest.fixture
def ray_folder() -> Iterator[Path]:
    """Ray's sockets need a short path."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def pictures(folder: Path, count: int) -> Path:
    folder.mkdir()
    for index in range(count):
        pixels = np.random.default_rng(index).integers(0, 256, (20 + index % 7, 30, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:04}.png")
    return folder


def start(bundle: Path, folder: Path, out: Path, counts: Path, ray_folder: Path) -> subprocess.Popen[str]:
    words = ["embed", str(bundle), str(folder), "-o", str(out), "--ray", "--workers", "2", "--threads", "1", "--json"]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(counts), *words],
        env={**os.environ, "RAY_TMPDIR": str(ray_folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill_a_worker(ray_folder: Path) -> None:
    """Kill one of the processes that encode; those of this run's Ray name its folder."""
    for status in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            title, environment = status.read_bytes(), status.with_name("environ").read_bytes()
        except OSError:
            continue
        if title.startswith(b"ray::") and b"Map" in title and os.fsencode(ray_folder) in environment:
            os.kill(int(status.parent.name), signal.SIGKILL)
            return
    raise AssertionError("no worker to kill")


@pytest.mark.slow
def test_a_lost_worker_loses_no_picture(bundle: Path, tmp_path: Path, ray_folder: Path) -> None:
    pytest.importorskip("ray.data", reason="ray[data] is not installed", exc_type=ImportError)
    folder, out, counts = pictures(tmp_path / "pictures", 400), tmp_path / "out", tmp_path / "counts"
    (folder / "broken.png").write_bytes(b"no picture")
    process = start(bundle, folder, out, counts, ray_folder)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not any(out.glob("*.semb")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        kill_a_worker(ray_folder)
        printed, errors = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 2, errors
    result = json.loads(printed)
    assert [Path(row["picture"]).name for row in result["pictures"]] == [f"{index:04}.png" for index in range(400)]
    assert not any(row["earlier"] for row in result["pictures"])
    assert [Path(row["picture"]).name for row in result["failed"]] == ["broken.png"]
    assert sorted(path.name for path in out.iterdir()) == [f"{index:04}.semb" for index in range(400)]
    # Those that the lost worker had encoded and not yet written are encoded again, and no others.
    assert 400 <= len(counts.read_text().splitlines()) <= 400 + BATCH
    here = tmp_path / "here"
    assert main(["embed", str(bundle), str(folder / "0003.png"), "-o", str(here), "--threads", "1"]) == 0
    assert (here / "0003.semb").read_bytes() == (out / "0003.semb").read_bytes()


def test_workers_are_for_ray(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = pictures(tmp_path / "pictures", 1)
    assert main(["embed", str(bundle), str(folder), "-o", str(tmp_path / "out"), "--workers", "2"]) == 2
    assert "give it with --ray" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_missing_ray_is_said(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if importlib.util.find_spec("ray") is not None:
        pytest.skip("Ray is installed")
    folder = pictures(tmp_path / "pictures", 1)
    assert main(["embed", str(bundle), str(folder), "-o", str(tmp_path / "out"), "--ray"]) == 2
    assert "pip install 'sam-export[ray]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_said(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ray.data", reason="ray[data] is not installed", exc_type=ImportError)
    folder = pictures(tmp_path / "pictures", 1)
    assert main(["embed", str(bundle), str(folder), "-o", str(tmp_path / "out"), "--ray", "nonsense"]) == 2
    assert "--ray nonsense: cannot be reached" in capsys.readouterr().err
