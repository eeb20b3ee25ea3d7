"""A stranger's bundle does to a process of its own what it would do to ours."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from sam_export.cli import main
from sam_export.errors import BundleError, ContractError, SelfTestError
from sam_export.manifest import read_manifest
from sam_export.runtimes import TrialLimits, try_bundle
from sam_export.runtimes.trial import trial_limits

from . import geometric_model as model
from .conftest import write_geometric_bundle

GIB = 2**30


def with_spoiled_decoder(graph_folder: Path, folder: Path, spoil: onnx.ModelProto) -> Path:
    """A bundle whose hashes agree, around another decoder."""
    graphs = folder / "graphs"
    graphs.mkdir()
    (graphs / "image_encoder.onnx").write_bytes((graph_folder / "image_encoder.onnx").read_bytes())
    (graphs / "mask_decoder.onnx").write_bytes(spoil.SerializeToString())
    picture, mask = np.zeros((60, 100, 3), np.uint8), np.zeros((60, 100), np.bool_)
    mask[10:50, 20:80] = True
    return write_geometric_bundle(graphs, picture, mask, folder / "dist")


def asking_for(graph_folder: Path, elements: int) -> onnx.ModelProto:
    """The decoder, with a constant of so many float32 that is made while it is opened."""
    proto = onnx.load(graph_folder / "mask_decoder.onnx")
    proto.graph.initializer.append(numpy_helper.from_array(np.array([elements], np.int64), "elements"))
    last = proto.graph.node.pop()
    proto.graph.node.append(helper.make_node("ConstantOfShape", ["elements"], ["large"]))
    proto.graph.node.append(helper.make_node("ReduceMax", ["large"], ["nothing_more"], keepdims=0))
    proto.graph.node.append(helper.make_node("Add", [last.input[0], "nothing_more"], ["taller"]))
    last.input[0] = "taller"
    proto.graph.node.append(last)
    return proto


def test_a_good_bundle_is_let_through(bundle: Path) -> None:
    try_bundle(bundle)
    try_bundle(bundle, variant="fp32")


def test_memory_is_bounded(graph_folder: Path, tmp_path: Path) -> None:
    """8 GiB of zeros: a small machine would be gone, and its owner's other work with it."""
    bundle = with_spoiled_decoder(graph_folder, tmp_path, asking_for(graph_folder, 2 * GIB))
    started = time.monotonic()
    with pytest.raises(ContractError, match="allocate memory"):
        try_bundle(bundle, limits=TrialLimits(60, GIB))
    assert time.monotonic() - started < 60


def test_time_is_bounded(bundle: Path) -> None:
    with pytest.raises(BundleError, match=r"takes more than 0\.05 s to open and test itself; do not use this bundle"):
        try_bundle(bundle, limits=TrialLimits(0.05, GIB))


def test_a_process_that_ends_is_an_error_of_ours(bundle: Path) -> None:
    """With next to no memory not even the engine can be imported."""
    with pytest.raises(BundleError, match=r"tried in a process of its own, (it ends|opening it fails)"):
        try_bundle(bundle, limits=TrialLimits(60, 2**20))


def test_what_opening_raises_is_raised(bundle: Path) -> None:
    (bundle / "mask_decoder.onnx").write_bytes(bytes((bundle / "mask_decoder.onnx").stat().st_size))
    with pytest.raises(BundleError, match="was changed"):
        try_bundle(bundle)


def test_masks_of_another_model(graph_folder: Path, tmp_path: Path) -> None:
    inside_out = onnx.load(model.save_decoder(tmp_path / "other.onnx", logit_scale=-1.0))
    bundle = with_spoiled_decoder(graph_folder, tmp_path, inside_out)
    with pytest.raises(SelfTestError, match="self-test"):
        try_bundle(bundle)
    assert main(["inspect", "--try", str(bundle)]) == SelfTestError.exit_status


def test_limits_grow_with_the_graphs(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    graph = manifest.variants[0].graphs["mask_decoder"]
    large = replace(graph, files=(replace(graph.files[0], bytes=10**9),))
    variant = replace(manifest.variants[0], graphs={"mask_decoder": large})
    assert trial_limits(manifest).seconds == pytest.approx(60, abs=1)
    assert trial_limits(replace(manifest, variants=(variant,))) == TrialLimits(160.0, 4 * GIB + 6 * 10**9)
