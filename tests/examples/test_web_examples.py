"""The example pages are built and driven in Chromium, one encoding in the browser, one by the server."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from sam_export.contract import EngineOptions
from sam_export.server import ServerOptions, open_served_bundle

from ..server.live import live_server
from ..web.conftest import Npm, chromium, npm, tiny_cases, web_picture

__all__ = ["chromium", "npm", "tiny_cases", "web_picture"]

pytestmark = pytest.mark.slow
CONFIGURATION = "tests/examples/vite.config.ts"


def test_types_and_style(npm: Npm) -> None:
    npm("exec", "tsc", "--", "--noEmit", "--project", "tests/examples")
    npm("exec", "prettier", "--", "--config", ".prettierrc.json", "--check", "../../examples/web")


@pytest.mark.usefixtures("chromium")
def test_pages(npm: Npm, tiny_cases: Path, tmp_path: Path) -> None:
    page = tmp_path / "page"
    npm("exec", "vite", "--", "build", "--config", CONFIGURATION, "--outDir", str(page))
    (case,) = json.loads((tiny_cases / "cases.json").read_text())
    shutil.copytree(tiny_cases / case["bundle"], page / "bundle")
    served = open_served_bundle(page / "bundle", options=EngineOptions(threads=1))
    with live_server(served, ServerOptions(page=page)) as live:
        environment = {"SAM_WEB_CASES": str(tiny_cases), "SAM_EXAMPLE_SITE": live.url}
        npm("exec", "vitest", "--", "run", "--dir", "tests/examples", environment=environment)
