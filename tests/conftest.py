"""Models that every folder's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from sam_export.models import FAMILIES, SamModel, load
from sam_export.models.loader import random_model

from .models.family_cases import tiny_vit_sam

# Begun first, in this order. Most take minutes, so that no worker ends with one while the others have nothing left; the
# first compares a fresh process with its own, where no conversion may have failed before: coremltools keeps its names.
FIRST = (
    "tests/test_export_ahead.py",
    *("web/test_trained.py", "benchmarks/test_bench.py", "web/test_demo.py", "web/test_browser.py"),
    *("web/test_firefox.py", "test_reproducible.py", "examples/test_export_examples.py"),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    help_text = "append the errors of models/test_full_size.py to FILE, one JSON object a line"
    parser.addoption("--parities", type=Path, metavar="FILE", help=help_text)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with those; the rest keeps its order."""
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    path = item.path.as_posix()
    return next((index for index, name in enumerate(FIRST) if path.endswith(name)), len(FIRST))


@pytest.fixture(scope="session")
def tiny_sam() -> SamModel:
    """A LiteMedSAM of 64 px with random weights that answers to every prompt: seconds instead of minutes."""
    variant = tiny_vit_sam()
    return random_model(FAMILIES[variant.family].build(variant), variant, seed=7)


@pytest.fixture(scope="session")
def lite_medsam() -> SamModel:
    return load("lite_medsam")
