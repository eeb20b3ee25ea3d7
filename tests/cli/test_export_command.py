"""`sam-export MODEL --target T`: exit status, and what is printed for people and machines."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch

from sam_export.cli import main
from sam_export.cli.export_command import exit_status, print_json
from sam_export.errors import AccuracyError, NotVerifiableError, UnsupportedError
from sam_export.pipeline import Job, Outcome

from ..bundles import FAILED, PASSED

JOB = Job("onnx", "fp32")
WRITTEN = Outcome(JOB, bundle=Path("dist/bundle"), verification=PASSED)
REJECTED = Outcome(JOB, verification=FAILED, error=AccuracyError("mask IoU 0.9, minimum 0.995"))
NOT_HERE = Outcome(JOB, error=NotVerifiableError("needs a Mac"))
WRONG = Outcome(JOB, error=UnsupportedError("cannot"))


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        ((WRITTEN,), 0),
        ((WRITTEN, REJECTED), 1),
        ((NOT_HERE, WRONG), 2),
        ((NOT_HERE, WRITTEN), 3),
        ((NOT_HERE, REJECTED), 1),
    ],
    ids=["all written", "one failed", "bad request before not verifiable", "not verifiable", "failed before all"],
)
def test_the_lowest_status_wins(outcomes: tuple[Outcome, ...], status: int) -> None:
    assert exit_status(outcomes) == status


def test_json_has_every_number(capsys: pytest.CaptureFixture[str]) -> None:
    print_json((WRITTEN, REJECTED))
    written, rejected = json.loads(capsys.readouterr().out)
    assert written["bundle"] == "dist/bundle"
    assert written["verification"]["measurement"]["stable"]["worst_iou"] == 0.99
    assert written["passed"]
    assert not rejected["passed"]
    assert rejected["bundle"] is None
    assert rejected["error"] == "mask IoU 0.9, minimum 0.995"


class Code:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("ran",))


def truncated(path: Path) -> None:
    torch.save({"weight": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:-500])


BAD_CHECKPOINTS = {
    "empty": lambda path: path.write_bytes(b""),
    "not a checkpoint": lambda path: path.write_bytes(b"GIF89a" * 100),
    "truncated": truncated,
    "pickled code": lambda path: path.write_bytes(pickle.dumps({"model": Code()})),
    "another family": lambda path: torch.save({"backbone.conv1.weight": torch.zeros(8, 3, 7, 7)}, path),
}


@pytest.mark.parametrize("kind", BAD_CHECKPOINTS)
def test_a_bad_checkpoint(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "weights.pth"
    BAD_CHECKPOINTS[kind](path)
    words = ["lite_medsam", "--target", "onnx", "--checkpoint", str(path), "-o", str(tmp_path / "out")]
    assert main(words) == 2
    captured = capsys.readouterr()
    assert "ran" not in captured.out
    assert str(path) in captured.err.splitlines()[-1]
    assert "Traceback" not in captured.err
    assert not (tmp_path / "out").exists()
