"""What the tests of both exporters begin with."""

from __future__ import annotations

import pytest

from sam_export.contract import Graph
from sam_export.models import SamModel, components
from sam_export.models.components import Component

from .graphs import PRECISIONS, Exported


@pytest.fixture(scope="session")
def parts(tiny_sam: SamModel) -> dict[str, Component]:
    return {component.contract.component: component for component in components(tiny_sam)}


@pytest.fixture(params=[(name, p) for name in ("image_encoder", "mask_decoder") for p in PRECISIONS], ids="-".join)
def graph(request: pytest.FixtureRequest, exported: Exported) -> Graph:
    """Each of a module's own `exported`."""
    return exported[request.param]
