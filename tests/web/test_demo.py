"""The demo page in Chromium, driven as a person would, on a bundle that is exported for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import PACKAGE, Npm

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("chromium")]

SCREENSHOTS = PACKAGE.parents[1] / "build" / "screenshots"


@pytest.mark.parametrize("tests", ["mouse", "keyboard", "phone", "trouble", "server"])
def test_demo(npm: Npm, tiny_cases: Path, tests: str) -> None:
    """Each leaves its screenshots in `build/screenshots`."""
    environment = {"SAM_WEB_CASES": str(tiny_cases), "SAM_DEMO_SCREENSHOTS": str(SCREENSHOTS)}
    npm("run", "test:demo", "--", tests, environment=environment)
