"""The web package with its development tools installed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from filelock import FileLock

PACKAGE = Path(__file__).parents[2] / "runtimes" / "web"
NPM_SECONDS = 500

Npm = Callable[..., None]


@pytest.fixture(scope="session")
def npm() -> Npm:
    """Run npm with the given arguments in the package; a failure shows what it wrote."""
    if shutil.which("npm") is None:
        pytest.skip("node is not installed: the web package is not tested")
    with FileLock(PACKAGE / ".npm.lock"):
        if not _installed():
            _npm("ci", "--no-audit", "--no-fund")
    return _npm


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
