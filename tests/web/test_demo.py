"""The demo page in Chromium, driven as a person would, on a bundle that is exported for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sam_export.contract import EngineOptions
from sam_export.server import ServerOptions, open_served_bundle

from ..server.live import live_server
from .conftest import SCREENSHOTS, Npm

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("chromium")]

SUITES = ("first_look", "mouse", "keyboard", "phone", "trouble", "facts", "server")


def test_demo(npm: Npm, tiny_cases: Path, demo_page: Path) -> None:
    """What is seen on the way lies in `build/screenshots` afterwards."""
    environment = {
        "SAM_WEB_CASES": str(tiny_cases),
        "SAM_DEMO_PAGE": str(demo_page),
        "SAM_DEMO_SCREENSHOTS": str(SCREENSHOTS),
    }
    npm("run", "test:demo", "--", *SUITES, environment=environment)


def test_served_page(npm: Npm, tiny_cases: Path, demo_page: Path) -> None:
    (case,) = json.loads((tiny_cases / "cases.json").read_text())
    bundle = open_served_bundle(tiny_cases / case["bundle"], options=EngineOptions(threads=1), whole=True)
    with live_server(bundle, ServerOptions(page=demo_page)) as live:
        environment = {"SAM_WEB_CASES": str(tiny_cases), "SAM_DEMO_SERVER": live.url}
        npm("run", "test:demo", "--", "live", environment=environment)
