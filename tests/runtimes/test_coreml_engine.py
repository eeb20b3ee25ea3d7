"""What of the Core ML engine can run off a Mac: refusals, the sizes of a package, splitting, the picture."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from sam_export.contract import Array, EngineOptions, GraphContract
from sam_export.errors import RequestError, UnsupportedError
from sam_export.exporters.coreml import CoreMl, read_spec
from sam_export.exporters.target import ExportOptions
from sam_export.models import SamModel, components
from sam_export.runtimes.coreml_engine import CoreMlSession, SizeLimit, size_limits, split_batch, to_picture

LIMITS = {"B": SizeLimit(1, 4), "N": SizeLimit(1, 8)}


@pytest.fixture(scope="session")
def decoder_contract(tiny_sam: SamModel) -> GraphContract:
    return components(tiny_sam)[1].contract


def feeds_of(contract: GraphContract, *, prompts: int, points: int) -> dict[str, Array]:
    """Every element of a batched input holds the number of its prompt."""
    sizes = {"B": prompts, "N": points}
    feeds = {}
    for spec in contract.inputs:
        shape = [sizes[axis] if isinstance(axis, str) else axis for axis in spec.shape]
        rows = np.arange(shape[0], dtype=np.float32).reshape(-1, *[1] * (len(shape) - 1))
        feeds[spec.name] = np.broadcast_to(rows, shape).copy()
    return feeds


@pytest.mark.skipif(sys.platform == "darwin", reason="Core ML runs here")
def test_other_systems_are_told_what_to_do(decoder_contract: GraphContract, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"macOS and iOS only.*onnx or openvino.*sam-export verify"):
        CoreMlSession(tmp_path / "mask_decoder.mlpackage", decoder_contract)


@pytest.mark.parametrize(
    ("options", "text"),
    [(EngineOptions(provider="GPU"), "CPU_AND_NE"), (EngineOptions(threads=2), "threads=2")],
    ids=["provider", "threads"],
)
def test_wrong_options_are_refused(
    decoder_contract: GraphContract, tmp_path: Path, options: EngineOptions, text: str
) -> None:
    with pytest.raises(RequestError, match=text):
        CoreMlSession(tmp_path / "mask_decoder.mlpackage", decoder_contract, options)


@pytest.mark.parametrize(("prompts", "parts"), [(1, [1]), (4, [4]), (5, [4, 1]), (8, [4, 4])])
def test_batches_are_split_in_order(decoder_contract: GraphContract, prompts: int, parts: list[int]) -> None:
    feeds = feeds_of(decoder_contract, prompts=prompts, points=3)
    split = list(split_batch(feeds, decoder_contract, LIMITS))
    assert [len(part["point_coords"]) for part in split] == parts
    for name in ("point_coords", "point_labels", "mask_input", "has_mask_input"):
        assert np.array_equal(np.concatenate([part[name] for part in split]), feeds[name])
    assert all(part["image_embeddings"] is feeds["image_embeddings"] for part in split)


def test_batches_without_bound_stay_whole(decoder_contract: GraphContract) -> None:
    feeds = feeds_of(decoder_contract, prompts=9, points=1)
    limits = {"B": SizeLimit(1, None), "N": SizeLimit(1, None)}
    assert [len(part["has_mask_input"]) for part in split_batch(feeds, decoder_contract, limits)] == [9]


def test_too_many_points_are_refused(decoder_contract: GraphContract) -> None:
    feeds = feeds_of(decoder_contract, prompts=1, points=9)
    with pytest.raises(RequestError, match="N=9, the package allows 1 to 8"):
        list(split_batch(feeds, decoder_contract, LIMITS))


@pytest.mark.slow
def test_sizes_are_read_from_the_package(tiny_sam: SamModel, tmp_path: Path) -> None:
    decoder = components(tiny_sam)[1]
    graph = CoreMl().export(decoder, "fp32", tmp_path, ExportOptions())
    limits = size_limits(read_spec(graph.path), decoder.contract)
    assert limits == {"B": SizeLimit(1, 64), "N": SizeLimit(1, 256)}


def test_encoder_runs_in_one_part(tiny_sam: SamModel) -> None:
    contract = components(tiny_sam)[0].contract
    feeds = {"image": np.zeros((1, 3, 64, 64), np.float32)}
    assert [list(part) for part in split_batch(feeds, contract, {})] == [["image"]]


def test_picture_keeps_colours_and_axes() -> None:
    image = np.zeros((1, 3, 2, 4), np.float32)
    image[0, 0, 1, 3], image[0, 2, 0, 0] = 254.6, 300.0
    picture = to_picture(image)
    assert (picture.mode, picture.size) == ("RGB", (4, 2))
    assert picture.getpixel((3, 1)) == (255, 0, 0)
    assert picture.getpixel((0, 0)) == (0, 0, 255)
