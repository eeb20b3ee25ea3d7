"""The web package in Chromium, on bundles that this package exported: the masks are those of the Python runtime."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from sam_export.models import SamModel

from .cases import WebCase, write_cases
from .conftest import Npm
from .tiny_bundle import write_tiny_bundle

pytestmark = pytest.mark.slow

PROMPTS = (
    {"box": [20, 10, 80, 50]},
    {"points": [[30, 30]], "labels": [1]},
    {"points": [[70.5, 40.25], [5, 5]], "labels": [1, 0], "box": [40, 5, 99, 59]},
)


@pytest.fixture(scope="session", autouse=True)
def chromium() -> None:
    if shutil.which("chromium") is None:
        pytest.skip("chromium is not installed: the web package is not tried in a browser")


@pytest.fixture(scope="session")
def web_picture() -> np.ndarray:
    """Uint8 [60, 100, 3]: smooth, with noise on it."""
    y, x = np.mgrid[:60, :100]
    waves = np.stack([np.sin(x / 9), np.cos(y / 7), np.sin((x + y) / 11)], axis=-1) * 90 + 128
    return (waves + np.random.default_rng(3).normal(0, 12, waves.shape)).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def tiny_cases(tiny_sam: SamModel, web_picture: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    bundle = write_tiny_bundle(tiny_sam, web_picture, tmp_path_factory.mktemp("graphs"), folder)
    return write_cases(folder, [WebCase(bundle, web_picture, PROMPTS)])


@pytest.mark.parametrize("tests", ["wasm", "loading", "calls", "webgpu"])
def test_tiny_bundle(npm: Npm, tiny_cases: Path, tests: str) -> None:
    npm("run", "test:browser", "--", tests, environment={"SAM_WEB_CASES": str(tiny_cases)})
