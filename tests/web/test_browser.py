"""The web package in Chromium, on bundles that this package exported: the masks are those of the Python runtime."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Npm

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("chromium")]


@pytest.mark.parametrize("tests", ["wasm", "loading", "calls", "webgpu"])
def test_tiny_bundle(npm: Npm, tiny_cases: Path, tests: str) -> None:
    npm("run", "test:browser", "--", tests, environment={"SAM_WEB_CASES": str(tiny_cases)})
