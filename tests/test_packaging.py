"""The folders at the top of the repository are all in the one package that is published."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

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
