"""Each Python example runs as a page says, and gives the masks of `open_bundle`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam_export import EngineOptions, open_bundle
from sam_export.manifest import read_manifest
from sam_export.models import untrained
from sam_export.server import open_served_bundle

from ..models.family_cases import FAMILY_CASES
from ..server.live import live_server
from ..web.tiny_bundle import write_tiny_bundle
from .conftest import BOX
from .documents import ROOT

pytestmark = pytest.mark.slow

BOX_TEXT = ",".join(f"{side:g}" for side in BOX)


def run_example(name: str, *words: object, cwd: Path) -> str:
    command = [sys.executable, str(ROOT / "examples" / name), *map(str, words)]
    ran = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def mask_of(bundle: Path, picture: np.ndarray) -> np.ndarray:
    segmenter = open_bundle(bundle, options=EngineOptions(threads=1))
    segmenter.set_image(picture)
    return segmenter.predict(box=BOX, multimask_output=False).masks[0]


def read_mask(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(bool)


def test_segment(home: Path, example_bundle: Path, example_picture: np.ndarray) -> None:
    said = run_example("segment.py", example_bundle, "picture.png", BOX_TEXT, "mask.png", cwd=home)
    assert "predicted IoU" in said
    np.testing.assert_array_equal(read_mask(home / "mask.png"), mask_of(example_bundle, example_picture))


@pytest.mark.parametrize(
    "family",
    ["tiny_vit_sam", "efficient_sam", "edge_sam"],
)
def test_by_hand(family: str, home: Path, example_picture: np.ndarray, tmp_path: Path) -> None:
    """A model that letterboxes, one that stretches and fills up to six points, one that pads with a mean colour."""
    graphs = tmp_path / "graphs"
    bundle = write_tiny_bundle(untrained(FAMILY_CASES[family](), 7), example_picture, graphs, tmp_path / "bundles")
    run_example("by_hand.py", bundle, "picture.png", BOX_TEXT, "mask.png", cwd=home)
    reference, candidate = mask_of(bundle, example_picture), read_mask(home / "mask.png")
    assert 0.01 < reference.mean() < 0.99
    assert (reference != candidate).mean() < 1e-4, read_manifest(bundle).preprocessing


def test_remote_encoder(home: Path, example_bundle: Path, example_picture: np.ndarray) -> None:
    served = open_served_bundle(example_bundle, options=EngineOptions(threads=1))
    with live_server(served) as live:
        words = (live.url, example_bundle, "picture.png", BOX_TEXT, "mask.png")
        said = run_example("remote_encoder.py", *words, cwd=home)
    assert "MB of embedding" in said
    reference, candidate = mask_of(example_bundle, example_picture), read_mask(home / "mask.png")
    assert (reference & candidate).sum() / (reference | candidate).sum() > 0.9
