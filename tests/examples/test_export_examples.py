"""The examples that export: shell scripts, and a family in a file of its own; on random weights and one picture."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam_export.manifest import read_manifest

from .documents import ROOT

pytestmark = pytest.mark.slow

EXAMPLES = ROOT / "examples"
MODEL = "lite_medsam-128px"


@pytest.fixture
def few(tmp_path: Path, example_picture: np.ndarray) -> tuple[str, ...]:
    """Options that make an export a matter of seconds; the scripts pass them on."""
    (tmp_path / "pictures").mkdir()
    Image.fromarray(example_picture).save(tmp_path / "pictures/one.png")
    return "--random-weights", "--evaluation", "pictures"


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = {**os.environ, **variables, "PATH": path}
    ran = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_export_coreml(tmp_path: Path, few: tuple[str, ...]) -> None:
    said = run("bash", EXAMPLES / "export_coreml.sh", *few, cwd=tmp_path, MODEL=MODEL)
    assert "image_encoder.mlpackage" in said
    assert read_manifest(tmp_path / f"dist/{MODEL}-coreml-fp16").target == "coreml"


def test_choose_precision(tmp_path: Path, few: tuple[str, ...]) -> None:
    asked = {"MODEL": MODEL, "PRECISIONS": "fp32 fp16"}
    said = run("bash", EXAMPLES / "choose_precision.sh", *few, cwd=tmp_path, **asked)
    for precision in ("fp32", "fp16"):
        assert f"dist/{MODEL}-onnx-{precision}" in said


def test_a_target_in_one_file(tmp_path: Path, few: tuple[str, ...]) -> None:
    """Exported, through the gate on the saved files, and its bundle opened by the other commands."""
    target = (sys.executable, EXAMPLES / "torch_target.py")
    run(*target, MODEL, "--target", "torch", *few, "-o", "dist", cwd=tmp_path)
    bundle = tmp_path / f"dist/{MODEL}-torch-fp32"
    (variant,) = read_manifest(bundle).variants
    assert variant.accuracy.parity is not None
    assert variant.accuracy.evaluated_by.startswith("torch (")
    assert {file.path for graph in variant.graphs.values() for file in graph.files} == {
        "image_encoder.pt2",
        "mask_decoder.pt2",
    }
    run(*target, "segment", bundle, "pictures/one.png", "--box", "65,5,340,500", "-o", "out", cwd=tmp_path)
    assert list((tmp_path / "out").iterdir())


def test_a_family_in_one_file(tmp_path: Path, few: tuple[str, ...]) -> None:
    run(sys.executable, EXAMPLES / "conv_sam.py", "--target", "onnx", "openvino", *few, "-o", "dist", cwd=tmp_path)
    for target in ("onnx", "openvino"):
        manifest = read_manifest(tmp_path / f"dist/conv_sam-{target}-fp32")
        assert manifest.model.family == "conv_sam"
        assert manifest.variants[0].accuracy.parity is not None
