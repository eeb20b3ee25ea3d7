"""The folders at the top of the repository are all in the one package that is published."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path

import pytest

from sam_export.server.page import BUILT, INDEX

ROOT = Path(__file__).parents[1]
FOLDERS = ("models", "exporters", "quantize", "verify", "runtimes", "benchmarks")


@pytest.fixture(scope="module")
def setuptools_table() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def packages_below(folder: Path, prefix: str) -> set[str]:
    return {prefix + ".".join(init.parent.relative_to(ROOT).parts) for init in folder.rglob("__init__.py")}


def test_every_package_folder_is_published(setuptools_table: dict[str, list[str]]) -> None:
    found = packages_below(ROOT / "sam_export", "").union(
        *(packages_below(ROOT / top, "sam_export.") for top in FOLDERS)
    )
    assert sorted(found) == sorted(setuptools_table["packages"])


def test_every_folder_is_mapped_below_the_package(setuptools_table: dict[str, dict[str, str]]) -> None:
    for package, folder in setuptools_table["package-dir"].items():
        assert package == f"sam_export.{folder.replace('/', '.')}"
        assert (ROOT / folder / "__init__.py").is_file()


def test_the_wheel_holds_the_demo_page() -> None:
    """With all that the page names: `make wheel` builds it where there is npm."""
    if BUILT.is_relative_to(ROOT / "sam_export"):
        pytest.skip("this is a clone, not a wheel: `make check` runs it on one")
    if shutil.which("npm") is None:
        pytest.skip("node is not installed: the wheel has no demo page")
    named = re.findall(r'(?:src|href)="\./([^"]+)"', (BUILT / INDEX).read_text())
    assert len(named) > 1
    assert [name for name in named if not (BUILT / name).is_file()] == []
    assert list(BUILT.glob("assets/*.wasm"))
