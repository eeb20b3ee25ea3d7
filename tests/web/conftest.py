"""The web package with its development tools installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from filelock import FileLock

PACKAGE = Path(__file__).parents[2] / "runtimes" / "web"
NPM_SECONDS = 300

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
    done = subprocess.run(
        ["npm", *arguments],
        cwd=PACKAGE,
        env={**os.environ, "NO_COLOR": "1", **(environment or {})},
        capture_output=True,
        text=True,
        timeout=NPM_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"npm {' '.join(arguments)}\n{done.stdout[-12000:]}\n{done.stderr[-4000:]}"
