"""SIGTERM ends the command cleanly: status 143, and no temporary folder or bundle is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from PIL import Image

from sam_export.cli.termination import TERMINATED, Terminated, raising_terminated
from sam_export.verify.pictures import picture_set

PROGRAM = "import sys; from sam_export.cli import main; sys.exit(main())"
PATIENCE_S = 300


def test_sigterm_is_an_exception_only_inside() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated), raising_terminated():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_second_sigterm_does_not_stop_the_cleaning_up() -> None:
    cleaned: list[bool] = []

    def clean() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        cleaned.append(True)

    stack = ExitStack()
    stack.callback(clean)
    with pytest.raises(Terminated), raising_terminated(), stack:
        os.kill(os.getpid(), signal.SIGTERM)
    assert cleaned


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    """One built-in picture, whose boxes are drawn beforehand."""
    folder = tmp_path / "evaluation"
    folder.mkdir()
    Image.fromarray(picture_set("gate")[-1].image).save(folder / "picture.png")
    return folder


@pytest.fixture(params=["1", "2"], ids=["exporting in the process", "exporting ahead"])
def exporting(
    request: pytest.FixtureRequest, evaluation: Path, tmp_path: Path
) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """The command on its way, and its temporary folder. With two threads it exports in a second process."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    words = ["lite_medsam", "--target", "coreml", "--evaluation", str(evaluation), "-o", str(tmp_path / "dist")]
    environment = {**os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": request.param}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words], env=environment, text=True, stderr=subprocess.PIPE
    )
    yield process, temporary
    process.kill()
    process.communicate()


def wait_for(folder: Path, pattern: str, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not list(folder.glob(pattern)):
        assert process.poll() is None, "it ended before it exported"
        assert time.monotonic() < deadline, f"no {pattern} in {list(folder.rglob('*'))}"
        time.sleep(0.05)


@pytest.mark.slow
def test_sigterm_during_an_export(exporting: tuple[subprocess.Popen[str], Path], tmp_path: Path) -> None:
    process, temporary = exporting
    # The converter's own temporary package: the conversion is under way.
    wait_for(temporary, "**/tmp*", process)
    process.terminate()
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == TERMINATED == 143
    assert errors.splitlines()[-1] == "sam-export: terminated; nothing half-written was left"
    assert "Traceback" not in errors
    assert not list(temporary.iterdir())
    assert not list(tmp_path.glob("dist/*"))
