"""A segmenter and a bundle over real ONNX Runtime sessions of the geometric model."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam_export.bundle import BundleDraft, Candidate, write_bundle
from sam_export.contract import Array, EngineOptions, Graph, GraphContract, Recipe, Session
from sam_export.manifest import FileEntry, ModelCard, SelfTest, SelfTestCase
from sam_export.models import SamModel
from sam_export.runtimes import Segmenter, open_session

from ..bundles import PASSED
from . import geometric_model as model
from .exported import exported

RECIPE = Recipe("fp32", storage="fp32", compute="fp32")
SELFTEST_BOX = (20.0, 10.0, 80.0, 50.0)


@pytest.fixture(scope="session")
def graph_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("graphs")
    model.save_encoder(folder / "image_encoder.onnx")
    model.save_decoder(folder / "mask_decoder.onnx")
    return folder


def open_graph(path: Path, contract: GraphContract) -> Session:
    return open_session(path, contract, "onnx", RECIPE, EngineOptions(threads=1))


@pytest.fixture(scope="session")
def sessions(graph_folder: Path) -> dict[str, Session]:
    return {
        "image_encoder": open_graph(graph_folder / "image_encoder.onnx", model.ENCODER_CONTRACT),
        "mask_decoder": open_graph(graph_folder / "mask_decoder.onnx", model.DECODER_CONTRACT),
    }


@pytest.fixture
def segmenter(sessions: dict[str, Session]) -> Segmenter:
    return Segmenter(sessions, model.PREPROCESSING, model.MASK_RULE)


@pytest.fixture(scope="session")
def tiny_segmenter(tiny_sam: SamModel, tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    return exported(tiny_sam, tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def picture() -> np.ndarray:
    """Uint8 [60, 100, 3], noise."""
    return np.random.default_rng(0).integers(0, 256, (60, 100, 3), np.uint8)


@pytest.fixture
def bundle(graph_folder: Path, segmenter: Segmenter, picture: np.ndarray, tmp_path: Path) -> Path:
    segmenter.set_image(picture)
    mask = segmenter.predict(box=SELFTEST_BOX, multimask_output=False).masks[0]
    return write_geometric_bundle(graph_folder, picture, mask, tmp_path / "dist")


def write_geometric_bundle(
    graph_folder: Path, picture: np.ndarray, mask: np.ndarray, out: Path, name: str = "geometric"
) -> Path:
    """Write a bundle whose one self-test case expects `mask` for SELFTEST_BOX."""
    extras = {"selftest/picture.png": png(picture), "selftest/mask_0.png": png(mask.astype(np.uint8) * 255)}
    entries = {name: FileEntry(name, hashlib.sha256(data).hexdigest(), len(data)) for name, data in extras.items()}
    graphs = tuple(
        Graph(contract, "onnx", RECIPE, graph_folder / f"{contract.component}.onnx", (f"{contract.component}.onnx",))
        for contract in (model.ENCODER_CONTRACT, model.DECODER_CONTRACT)
    )
    case = SelfTestCase(entries["selftest/mask_0.png"], multimask_output=False, index=0, box=SELFTEST_BOX)
    draft = BundleDraft(
        model=ModelCard(name, "none", "Apache-2.0", "made by a test", "0" * 64),
        target="onnx",
        precision="fp32",
        preprocessing=model.PREPROCESSING,
        mask_rule=model.MASK_RULE,
        candidates=(Candidate("fp32", ("cpu",), graphs, PASSED),),
        selftest=SelfTest(entries["selftest/picture.png"], 0.97, (case,)),
        extras=extras,
    )
    return write_bundle(draft, out)


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def feeds(graph: Graph) -> dict[str, Array]:
    """Ones for a module's own `graph`: two prompts of three points."""
    sizes = {"B": 2, "N": 3}
    return {
        spec.name: np.ones([sizes.get(axis, axis) for axis in spec.shape], np.float32) for spec in graph.contract.inputs
    }
