"""Models that every folder's tests share."""

from __future__ import annotations

import pytest

from sam_export.models import FAMILIES, SamModel, load
from sam_export.models.loader import random_model

from .models.family_cases import tiny_vit_sam


@pytest.fixture(scope="session")
def tiny_sam() -> SamModel:
    """A LiteMedSAM of 64 px with random weights that answers to every prompt: seconds instead of minutes."""
    variant = tiny_vit_sam()
    return random_model(FAMILIES[variant.family].build(variant), variant, seed=7)


@pytest.fixture(scope="session")
def lite_medsam() -> SamModel:
    return load("lite_medsam")
