"""The web package and the demo page in Firefox, as Debian ships it, driven by WebDriver BiDi."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import SCREENSHOTS, Npm

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("firefox")]

FIREFOX = {"SAM_WEB_BROWSER": "firefox"}


def test_tiny_bundle(npm: Npm, tiny_cases: Path) -> None:
    environment = {**FIREFOX, "SAM_WEB_CASES": str(tiny_cases)}
    npm("run", "test:browser", "--", "wasm", "visits", "calls", environment=environment)


def test_demo(npm: Npm, tiny_cases: Path, demo_page: Path) -> None:
    environment = {
        **FIREFOX,
        "SAM_WEB_CASES": str(tiny_cases),
        "SAM_DEMO_PAGE": str(demo_page),
        "SAM_DEMO_SCREENSHOTS": str(SCREENSHOTS),
    }
    npm("run", "test:demo", "--", "firefox", environment=environment)
