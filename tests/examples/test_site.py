"""The pages become a site without a warning: every link, every included file, every page in the navigation."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from .documents import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("mkdocs") is None, reason="mkdocs is not installed (pip install '.[docs]'): the site is not built"
    ),
]


def build(root: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """What the site is made of, to be damaged."""
    for name in ("mkdocs.yml", "README.md", "CONTRIBUTING.md"):
        shutil.copy(ROOT / name, tmp_path)
    for folder in ("docs", "examples"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("node_modules", "dist"))
    return tmp_path


def test_the_site_is_built(tmp_path: Path) -> None:
    built = build(ROOT, tmp_path)
    assert built.returncode == 0, built.stderr
    assert "A bundle without our runtime" in (tmp_path / "coreml/index.html").read_text()
    assert "mil-reference" in (tmp_path / "precision/index.html").read_text()


@pytest.mark.parametrize(
    "damage",
    ["[there](nowhere.md)", "[there](index.md#nowhere)", '--8<-- "examples/nothing.py"', '--8<-- "README.md:nothing"'],
    ids=["page", "anchor", "file", "section"],
)
def test_what_leads_nowhere_stops_the_build(copied: Path, damage: str) -> None:
    page = copied / "docs/index.md"
    page.write_text(f"{page.read_text()}\n{damage}\n")
    assert build(copied, copied / "site").returncode != 0
