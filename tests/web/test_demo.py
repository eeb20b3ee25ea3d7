"""The demo page in Chromium, driven as a person would, on a bundle that is exported for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sam_export.contract import EngineOptions
from sam_export.server import ServerOptions, open_served_bundle

from ..server.live import live_server
from .conftest import PACKAGE, Npm

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("chromium")]

SCREENSHOTS = PACKAGE.parents[1] / "build" / "screenshots"


@pytest.mark.parametrize("tests", ["mouse", "keyboard", "phone", "trouble", "server"])
def test_demo(npm: Npm, tiny_cases: Path, tests: str) -> None:
    """Each leaves its screenshots in `build/screenshots`."""
    environment = {"SAM_WEB_CASES": str(tiny_cases), "SAM_DEMO_SCREENSHOTS": str(SCREENSHOTS)}
    npm("run", "test:demo", "--", tests, environment=environment)


def test_served_page(npm: Npm, tiny_cases: Path, tmp_path: Path) -> None:
    page = tmp_path / "page"
    npm("run", "build", "--prefix", "demo", "--", "--outDir", str(page))
    (case,) = json.loads((tiny_cases / "cases.json").read_text())
    bundle = open_served_bundle(tiny_cases / case["bundle"], options=EngineOptions(threads=1), whole=True)
    with live_server(bundle, ServerOptions(page=page)) as live:
        environment = {"SAM_WEB_CASES": str(tiny_cases), "SAM_DEMO_SERVER": live.url}
        npm("run", "test:demo", "--", "live", environment=environment)
