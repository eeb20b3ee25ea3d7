"""The Triton model repository: what its configuration says is Triton's own language, and is the graph's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from sam_export.contract import Graph, GraphContract, TensorSpec
from sam_export.exporters import export
from sam_export.exporters.triton import config
from sam_export.models import SamModel, components
from sam_export.runtimes import open_session

pytestmark = pytest.mark.slow

TYPES = {
    model_config_pb2.TYPE_FP32: onnx.TensorProto.FLOAT,
    model_config_pb2.TYPE_FP16: onnx.TensorProto.FLOAT16,
}


@pytest.fixture(scope="module", params=["fp32", "fp16"])
def encoder(request: pytest.FixtureRequest, tiny_sam: SamModel, tmp_path_factory: pytest.TempPathFactory) -> Graph:
    return export(components(tiny_sam)[0], "triton", request.param, tmp_path_factory.mktemp("triton"))


def parsed(graph: Graph) -> model_config_pb2.ModelConfig:
    text = (graph.path / "image_encoder" / "config.pbtxt").read_text()
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def test_the_configuration_is_the_graph_s(encoder: Graph) -> None:
    found = parsed(encoder)
    model = onnx.load(encoder.path / "image_encoder" / "1" / "model.onnx")
    assert (found.name, found.platform, found.max_batch_size) == ("image_encoder", "onnxruntime_onnx", 0)
    assert (encoder.path / found.name / "1" / found.default_model_filename).is_file()
    for ours, theirs in ((found.input, model.graph.input), (found.output, model.graph.output)):
        assert [tensor.name for tensor in ours] == [value.name for value in theirs]
        for tensor, value in zip(ours, theirs, strict=True):
            shape = value.type.tensor_type.shape.dim
            assert list(tensor.dims) == [axis.dim_value for axis in shape]
            assert TYPES[tensor.data_type] == value.type.tensor_type.elem_type


def test_it_says_whose_weights_it_holds(encoder: Graph, tiny_sam: SamModel) -> None:
    parameters = parsed(encoder).parameters
    assert parameters["sam_export.checkpoint_sha256"].string_value == tiny_sam.checkpoint_sha256
    assert parameters["sam_export.model"].string_value == "tiny_sam"


def test_nothing_else_lies_in_the_repository(encoder: Graph) -> None:
    """Triton takes every folder there for a model."""
    found = {file.relative_to(encoder.path.parent).as_posix() for file in encoder.path.rglob("*") if file.is_file()}
    assert found == set(encoder.files)


def test_it_is_the_graph_of_the_onnx_target(tiny_sam: SamModel, tmp_path: Path) -> None:
    image = np.random.default_rng(0).uniform(0, 255, (1, 3, 64, 64)).astype(np.float32)
    for part, name in zip(components(tiny_sam), ("image_encoder", "mask_decoder"), strict=True):
        ours, theirs = (export(part, target, "fp32", tmp_path / target) for target in ("triton", "onnx"))
        if name == "image_encoder":
            answers = [
                open_session(graph.path, graph.contract, graph.target, graph.recipe).run({"image": image})
                for graph in (ours, theirs)
            ]
            np.testing.assert_array_equal(answers[0]["image_embeddings"], answers[1]["image_embeddings"])
        else:
            assert ours.path.read_bytes() == theirs.path.read_bytes()


def test_names_that_protobuf_would_misread_are_escaped_and_free_sizes_are_minus_one() -> None:
    tensor = TensorSpec('a "name"', ("B", 2), "float32", "for a test")
    contract = GraphContract("image_encoder", (tensor,), (tensor,))
    found = text_format.Parse(config(contract, {"source": 'C:\\new\n"x"'}), model_config_pb2.ModelConfig())
    assert found.input[0].name == 'a "name"'
    assert list(found.input[0].dims) == [-1, 2]
    assert found.parameters["sam_export.source"].string_value == 'C:\\new\n"x"'
