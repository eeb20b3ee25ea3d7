"""A bundle of the geometric model, served."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sam_export.contract import Session
from sam_export.runtimes import Segmenter
from sam_export.server import ServedBundle, open_served_bundle

from ..runtimes import geometric_model as model
from ..runtimes.conftest import SELFTEST_BOX, graph_folder, png, sessions, write_geometric_bundle
from .live import Live, live_server

__all__ = ["graph_folder", "sessions"]

PICTURE = np.random.default_rng(0).integers(0, 256, (60, 100, 3), np.uint8)


@pytest.fixture(scope="session")
def bundle_folder(graph_folder: Path, sessions: dict[str, Session], tmp_path_factory: pytest.TempPathFactory) -> Path:
    segmenter = Segmenter(sessions, model.PREPROCESSING, model.MASK_RULE)
    segmenter.set_image(PICTURE)
    mask = segmenter.predict(box=SELFTEST_BOX, multimask_output=False).masks[0]
    return write_geometric_bundle(graph_folder, PICTURE, mask, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def bundle(bundle_folder: Path) -> ServedBundle:
    return open_served_bundle(bundle_folder)


@pytest.fixture(scope="session")
def live(bundle: ServedBundle) -> Iterator[Live]:
    """A server as it is by default, for tests that leave no trace in it."""
    with live_server(bundle) as server:
        yield server


@pytest.fixture(scope="session")
def picture_png() -> bytes:
    return png(PICTURE)
