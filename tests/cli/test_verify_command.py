"""`sam-export verify BUNDLE`: the verdict on a bundle's own graphs, and what stops it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from sam_export import models
from sam_export.cli import main
from sam_export.jobs import ExportRequest, Job
from sam_export.models import SamModel
from sam_export.models.loader import random_model
from sam_export.pipeline import export_model
from sam_export.verify.pictures import CROPS, picture_set
from sam_export.verify.suite import build_suite

from ..models.family_cases import tiny_vit_sam
from ..verify.truth_folders import mask_png, picture, rectangles

pytestmark = pytest.mark.slow

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def tiny_sam() -> SamModel:
    """The model that the command makes again from the seed in the bundle."""
    return models.untrained(tiny_vit_sam(), seed=7)


@pytest.fixture(scope="module")
def bundle(tiny_sam: SamModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    suite = build_suite(tiny_sam, picture_set("gate")[:2])
    (outcome,) = export_model(tiny_sam, (Job("onnx", "fp32"),), suite, ExportRequest("tiny_sam", ("onnx",), out))
    assert outcome.bundle is not None
    return outcome.bundle


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model of the bundle by name, with the weights that it was made from."""
    monkeypatch.setitem(models.VARIANTS, "tiny_sam", tiny_vit_sam())
    monkeypatch.setitem(CROPS, "gate", CROPS["gate"][:2])


@pytest.mark.usefixtures("known")
def test_a_bundle_passes_again(bundle: Path, capsys: Capture) -> None:
    assert main(["verify", str(bundle)]) == 0
    assert "passed" in capsys.readouterr().out


@pytest.mark.usefixtures("known")
def test_json_has_the_verdict(bundle: Path, capsys: Capture) -> None:
    assert main(["verify", str(bundle), "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert result["passed"]
    assert result["measurement"]["parity"]["count"] > 0


@pytest.mark.usefixtures("known")
def test_ground_truth_beside_the_pictures_is_measured(bundle: Path, tmp_path: Path, capsys: Capture) -> None:
    picture(tmp_path / "a.png")
    mask_png(tmp_path / "masks" / "a.png", rectangles((5, 5, 25, 35), (30, 5, 55, 30)))
    assert main(["verify", str(bundle), "--pictures", str(tmp_path), "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert [(one["kind"], one["count"]) for one in result["measurement"]["truth"]] == [
        ("truth box", 2),
        ("truth point", 2),
    ]
    assert len(result["measurement"]["truth_scores"]) == 4
    assert main(["verify", str(bundle), "--pictures", str(tmp_path)]) == 0
    assert "truth box: mIoU" in capsys.readouterr().out
    mask_png(tmp_path / "masks" / "b.png", rectangles((5, 5, 25, 35)))
    assert main(["verify", str(bundle), "--pictures", str(tmp_path)]) == 2
    assert "b.png: of none of the 1 pictures" in capsys.readouterr().err


def test_other_weights_fail(bundle: Path, tiny_sam: SamModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same name and hash, but the reference computes something else: as if the engine were wrong."""
    variant = tiny_vit_sam()
    other = random_model(models.FAMILIES[variant.family].build(variant), variant, seed=8)
    impostor = dataclasses.replace(other, checkpoint_sha256=tiny_sam.checkpoint_sha256)
    monkeypatch.setattr("sam_export.models.untrained", lambda *_: impostor)
    monkeypatch.setitem(CROPS, "gate", CROPS["gate"][:2])
    assert main(["verify", str(bundle)]) == 1


def test_another_checkpoint_is_refused(
    bundle: Path,
    tiny_sam: SamModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    checkpoint = tmp_path / "other.pth"
    torch.save(tiny_sam.module.state_dict(), checkpoint)
    monkeypatch.setitem(models.VARIANTS, "tiny_sam", tiny_vit_sam())
    assert main(["verify", str(bundle), "--checkpoint", str(checkpoint)]) == 2
    assert "give the right one with --checkpoint" in capsys.readouterr().err
