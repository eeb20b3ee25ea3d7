"""The web package with its development tools installed, and a tiny bundle with what Python makes of it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from sam_export.models import SamModel

from .cases import WebCase, write_cases
from .tiny_bundle import write_tiny_bundle

PACKAGE = Path(__file__).parents[2] / "runtimes" / "web"
SCREENSHOTS = PACKAGE.parents[1] / "build" / "screenshots"
NPM_SECONDS = 500

Npm = Callable[..., None]

PROMPTS = (
    {"box": [20, 10, 80, 50]},
    {"points": [[30, 30]], "labels": [1]},
    {"points": [[70.5, 40.25], [5, 5]], "labels": [1, 0], "box": [40, 5, 99, 59]},
)


@pytest.fixture(scope="session")
def npm() -> Npm:
    """Run npm with the given arguments in the package; a failure shows what it wrote."""
    if shutil.which("npm") is None:
        pytest.skip("node is not installed: the web package is not tested")
    with FileLock(PACKAGE / ".npm.lock"):
        if not _installed():
            _npm("ci", "--no-audit", "--no-fund")
    return _npm


@pytest.fixture(scope="session")
def chromium() -> None:
    if shutil.which("chromium") is None:
        pytest.skip("chromium is not installed: the web package is not tried in a browser")


@pytest.fixture(scope="session")
def firefox() -> None:
    if shutil.which("firefox-esr") is None:
        pytest.skip("firefox-esr is not installed: the web package is not tried in Firefox")


@pytest.fixture(scope="session")
def demo_page(npm: Npm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo, built."""
    page = tmp_path_factory.mktemp("demo") / "page"
    npm("run", "build", "--prefix", "demo", "--", "--outDir", str(page))
    return page


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


def _installed() -> bool:
    """Whether what lies in `node_modules` was installed after the lock file was last changed."""
    record = PACKAGE / "node_modules" / ".package-lock.json"
    return record.is_file() and record.stat().st_mtime >= (PACKAGE / "package-lock.json").stat().st_mtime


def _npm(*arguments: str, environment: Mapping[str, str] | None = None) -> None:
    """A browser must not outlive a test that takes too long, so npm and all that it starts are one group."""
    with subprocess.Popen(
        ["npm", *arguments],
        cwd=PACKAGE,
        env={**os.environ, "NO_COLOR": "1", **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            written, _ = process.communicate(timeout=NPM_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGTERM)
            raise
    assert process.returncode == 0, f"npm {' '.join(arguments)}\n{written[-16000:]}"
