"""`sam-export MODEL --target T`: exit status, and what is printed for people and machines."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from PIL import Image

from sam_export import open_bundle
from sam_export.cli import main
from sam_export.cli.export_results import exit_status, print_outcomes_as_json
from sam_export.errors import AccuracyError, NotVerifiableError, UnsupportedError
from sam_export.jobs import Job
from sam_export.manifest import read_manifest
from sam_export.models import VARIANTS
from sam_export.models.cache import checkpoint_path
from sam_export.pipeline import Outcome
from sam_export.verify.pictures import picture_set

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
    print_outcomes_as_json((WRITTEN, REJECTED))
    written, rejected = json.loads(capsys.readouterr().out)
    assert written["bundle"] == "dist/bundle"
    assert written["verification"]["measurement"]["stable"]["worst_iou"] == 0.99
    assert written["passed"]
    assert not rejected["passed"]
    assert rejected["bundle"] is None
    assert rejected["error"] == "mask IoU 0.9, minimum 0.995"


@pytest.mark.slow
def test_a_bundle_that_fails_the_gate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """fp16 that should be exact: the numbers and the way out in one line, status 1, and nothing is written."""
    (tmp_path / "pictures").mkdir()
    Image.fromarray(picture_set("gate")[-1].image).save(tmp_path / "pictures" / "one.png")
    words = ["lite_medsam", "--target", "onnx", "--precision", "fp16", "--min-iou", "1"]
    out = ["--evaluation", str(tmp_path / "pictures"), "-o", str(tmp_path / "out")]
    assert main([*words, *out]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("sam-export: lite_medsam-onnx-fp16: ")
    assert "mask IoU" in said
    assert "minimum 1" in said
    assert "compare it with --precision fp32" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_another_size_from_the_command_line_to_a_mask(tmp_path: Path) -> None:
    """A model whose learned positions follow the size; the bundle says it, and runtimes read it there."""
    picture = picture_set("gate")[-1].image
    (tmp_path / "pictures").mkdir()
    Image.fromarray(picture).save(tmp_path / "pictures" / "one.png")
    words = ["slimsam_77", "--image-size", "128", "--random-weights", "--target", "onnx"]
    assert main([*words, "--evaluation", str(tmp_path / "pictures"), "-o", str(tmp_path)]) == 0
    bundle = tmp_path / "slimsam_77-128px-onnx-fp32"
    assert read_manifest(bundle).preprocessing.image_hw == (128, 128)
    segmenter = open_bundle(bundle)
    assert all(result.iou >= result.min_iou for result in segmenter.selftest())
    segmenter.set_image(picture)
    masks, _, low_res_masks = segmenter.predict(box=[10, 10, 90, 90])
    assert masks.shape == (3, *picture.shape[:2])
    assert low_res_masks.shape == (3, 32, 32)


class Code:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("ran",))


def truncated(path: Path) -> None:
    torch.save({"weight": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:-500])


def one_bit_changed(path: Path) -> None:
    torch.save({"weight": torch.zeros(1000)}, path)
    content = bytearray(path.read_bytes())
    content[content.index(bytes(4000)) + 2000] ^= 1
    path.write_bytes(content)


BAD_CHECKPOINTS = {
    "empty": lambda path: path.write_bytes(b""),
    "not a checkpoint": lambda path: path.write_bytes(b"GIF89a" * 100),
    "truncated": truncated,
    "corrupt": one_bit_changed,
    "pickled code": lambda path: path.write_bytes(pickle.dumps({"model": Code()})),
    "another family": lambda path: torch.save({"backbone.conv1.weight": torch.zeros(8, 3, 7, 7)}, path),
}


@pytest.mark.slow
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


def test_a_checkpoint_of_another_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SAM_EXPORT_CACHE", str(tmp_path / "cache"))
    path = checkpoint_path(VARIANTS["lite_medsam"])
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(39_370_479))  # the right size
    assert main(["lite_medsam", "--target", "onnx", "-o", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert f"{path}: was changed since it was pulled (sha256 " in said
    assert "delete it, then run `sam-export pull lite_medsam`" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_random_weights_need_no_checkpoint_and_the_bundle_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SAM_EXPORT_CACHE", str(tmp_path / "empty cache"))
    (tmp_path / "pictures").mkdir()
    Image.fromarray(picture_set("gate")[-1].image).save(tmp_path / "pictures" / "one.png")
    words = ["lite_medsam", "--random-weights", "3", "--target", "onnx", "-o", str(tmp_path / "out")]
    assert main([*words, "--evaluation", str(tmp_path / "pictures")]) == 0
    assert "random" in capsys.readouterr().out
    manifest = read_manifest(tmp_path / "out" / "lite_medsam-onnx-fp32")
    assert manifest.model.source == "random weights of seed 3, not trained"
    assert not manifest.variants[0].accuracy.weights_trained
    assert manifest.variants[0].accuracy.parity.min_logit_snr_db >= 80
    assert "random weights of seed 3" in (tmp_path / "out" / "lite_medsam-onnx-fp32" / "report.html").read_text()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--random-weights", "--checkpoint", "file.pth"], "exclude each other"),
        (["--random-weights", "-1"], "a seed from 0"),
        (["--random-weights", "many"], "no whole number"),
    ],
    ids=["with a checkpoint", "negative", "no number"],
)
def test_random_weights_asked_for_wrongly(
    words: list[str], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lite_medsam", "--target", "onnx", "-o", str(tmp_path / "out"), *words]) == 2
    assert text in capsys.readouterr().err
