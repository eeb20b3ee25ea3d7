"""Models that every folder's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from sam_export.models import FAMILIES, SamModel, load
from sam_export.models.loader import random_model

from .models.family_cases import tiny_vit_sam

# Minutes in one file: begun first, so that no worker ends with one of them while the others have nothing left.
LONGEST = (
    *("web/test_trained.py", "benchmarks/test_bench.py", "web/test_demo.py", "web/test_browser.py"),
    *("web/test_firefox.py", "test_reproducible.py", "examples/test_export_examples.py"),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    help_text = "append the errors of models/test_full_size.py to FILE, one JSON object a line"
    parser.addoption("--parities", type=Path, metavar="FILE", help=help_text)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files; the rest keeps its order."""
    items.sort(key=lambda item: not item.path.as_posix().endswith(LONGEST))


@pytest.fixture(scope="session")
def tiny_sam() -> SamModel:
    """A LiteMedSAM of 64 px with random weights that answers to every prompt: seconds instead of minutes."""
    variant = tiny_vit_sam()
    return random_model(FAMILIES[variant.family].build(variant), variant, seed=7)


@pytest.fixture(scope="session")
def lite_medsam() -> SamModel:
    return load("lite_medsam")
