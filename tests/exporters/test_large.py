"""Models whose weights do not fit into one protobuf: the same graphs, with the weights in a file of their own.

The limits are lowered here, so that a tiny model is a large one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from sam_export import open_bundle
from sam_export.errors import BundleError
from sam_export.exporters import export, onnx_trace
from sam_export.exporters import onnx as onnx_target
from sam_export.jobs import ExportRequest, Job
from sam_export.manifest import read_manifest
from sam_export.models import Component, SamModel, components
from sam_export.models.components import weights_bytes
from sam_export.pipeline import export_model
from sam_export.runtimes import open_session
from sam_export.verify.pictures import picture_set
from sam_export.verify.suite import build_suite

pytestmark = pytest.mark.slow

LIMIT = 1000


@pytest.fixture
def lowered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_target, "MAX_INLINE_BYTES", LIMIT)
    monkeypatch.setattr(onnx_trace, "LARGE_BYTES", LIMIT)


def decoder_of(model: SamModel) -> Component:
    """A component that was not traced yet."""
    return components(model)[1]


def test_shared_weights_count_once(tiny_sam: SamModel) -> None:
    module = tiny_sam.module
    own = {tensor.data_ptr(): tensor.nbytes for tensor in (*module.parameters(), *module.buffers())}
    assert weights_bytes(module) == sum(own.values())


def test_a_trace_on_disk_is_the_trace_in_memory(tiny_sam: SamModel) -> None:
    in_memory, on_disk = (onnx_trace.trace(decoder_of(tiny_sam), large_bytes=limit) for limit in (10**9, 0))
    assert [node.op_type for node in on_disk.graph] == [node.op_type for node in in_memory.graph]
    for name, value in in_memory.graph.initializers.items():
        expected, found = value.const_value, on_disk.graph.initializers[name].const_value
        assert expected is not None
        assert found is not None
        np.testing.assert_array_equal(found.numpy(), expected.numpy())


@pytest.mark.usefixtures("lowered")
@pytest.mark.parametrize("target", ["onnx", "openvino"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_large_graphs_answer_as_small_ones(tiny_sam: SamModel, tmp_path: Path, target: str, precision: str) -> None:
    part = decoder_of(tiny_sam)
    graph = export(part, target, precision, tmp_path)
    session = open_session(graph.path, graph.contract, target, graph.recipe)
    feeds = {name: value.numpy() for name, value in zip(part.contract.input_names, part.example_inputs, strict=True)}
    expected = part.module(*part.example_inputs)[0].numpy()
    found = session.run(feeds)["low_res_masks"]
    assert np.abs(found - expected).max() < (1e-3 if precision == "fp32" else 0.1) * np.abs(expected).max()


def test_weights_on_disk_may_become_part_of_a_smaller_graph(tiny_sam: SamModel, tmp_path: Path) -> None:
    """As those of ViT-H do that fp16 leaves as they were traced."""
    made, _ = onnx_target.build(components(tiny_sam)[0], "fp32")
    ir.save(made, tmp_path / "traced.onnx", external_data="traced.data", size_threshold_bytes=0)
    (folder := tmp_path / "elsewhere").mkdir()
    assert onnx_target.save(ir.load(tmp_path / "traced.onnx"), folder / "graph.onnx") == ("graph.onnx",)
    (tmp_path / "traced.data").unlink()
    stored = onnx.load(folder / "graph.onnx", load_external_data=False).graph.initializer
    assert not [tensor.name for tensor in stored if tensor.external_data]


@pytest.fixture
def bundle(tiny_sam: SamModel, tmp_path: Path, lowered: None) -> Path:
    suite = build_suite(tiny_sam, picture_set("gate")[-1:])
    request = ExportRequest("tiny_sam", ("onnx",), tmp_path)
    (outcome,) = export_model(tiny_sam, (Job("onnx", "fp32"),), suite, request)
    assert outcome.bundle is not None, outcome.error
    return outcome.bundle


def test_a_bundle_lists_and_checks_the_weights_beside_its_graphs(bundle: Path) -> None:
    listed = [entry.path for entry in read_manifest(bundle).files()]
    weights = [name for name in listed if name.endswith(".onnx.data")]
    assert weights == ["image_encoder.onnx.data", "mask_decoder.onnx.data"]
    assert (bundle / weights[0]).stat().st_size > 0
    assert all(result.iou >= result.min_iou for result in open_bundle(bundle).selftest())
    content = bytearray((bundle / weights[0]).read_bytes())
    content[100] ^= 1
    (bundle / weights[0]).write_bytes(content)
    with pytest.raises(BundleError, match=r"image_encoder.onnx.data was changed"):
        open_bundle(bundle)
    (bundle / weights[0]).unlink()
    with pytest.raises(BundleError, match=r"image_encoder.onnx.data is missing"):
        open_bundle(bundle)


@pytest.mark.parametrize("place", ["../stranger.bin", "/etc/hostname"])
def test_weights_outside_the_bundle_are_not_read(bundle: Path, place: str) -> None:
    """A stranger's graph may name any file, which is refused before the engine looks."""
    entry = read_manifest(bundle).variants[0].graphs["mask_decoder"]
    (bundle.parent / "stranger.bin").write_bytes(bytes(10**6))
    path = bundle / entry.open_path
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for fact in tensor.external_data:
            fact.value = place if fact.key == "location" else fact.value
    path.write_bytes(model.SerializeToString())
    with pytest.raises(BundleError, match="allowed: a file beside the graph"):
        open_session(path, entry.contract, "onnx", entry.recipe)
