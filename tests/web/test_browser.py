"""The web package in Chromium, on bundles that this package exported: the masks are those of the Python runtime."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Npm

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("chromium")]


def test_tiny_bundle(npm: Npm, tiny_cases: Path) -> None:
    environment = {"SAM_WEB_CASES": str(tiny_cases)}
    npm("run", "test:browser", "--", "wasm", "visits", "loading", "calls", "webgpu", environment=environment)
