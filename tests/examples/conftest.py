"""A picture, a tiny bundle of it, and a folder with the bundles that pages and examples speak of."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam_export.models import SamModel

from ..web.tiny_bundle import write_tiny_bundle

NAMED_BUNDLES = ("dist/lite_medsam-onnx-fp32", "dist/mobile_sam-onnx-fp32", "BUNDLE")
BOX = (65.0, 5.0, 340.0, 500.0)


@pytest.fixture(scope="session")
def example_picture() -> np.ndarray:
    """Uint8 [512, 480, 3]: smooth, so that masks are no noise."""
    y, x = np.mgrid[:512, :480]
    waves = np.stack([np.sin(x / 60), np.cos(y / 50), np.sin((x + y) / 70)], axis=-1) * 90 + 128
    return waves.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def example_bundle(tiny_sam: SamModel, example_picture: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    graphs, out = tmp_path_factory.mktemp("graphs"), tmp_path_factory.mktemp("dist")
    return write_tiny_bundle(tiny_sam, example_picture, graphs, out)


@pytest.fixture
def home(example_bundle: Path, example_picture: np.ndarray, tmp_path: Path) -> Path:
    """A folder as a reader has it: `picture.png`, and bundles under the names that pages use."""
    Image.fromarray(example_picture).save(tmp_path / "picture.png")
    for name in NAMED_BUNDLES:
        shutil.copytree(example_bundle, tmp_path / name)
    return tmp_path
