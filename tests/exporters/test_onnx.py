from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from sam_export.contract import Graph, GraphContract, PointLabel, TensorSpec
from sam_export.errors import ContractError, ConversionError, OutputError, UnsupportedError
from sam_export.exporters import TARGETS, export
from sam_export.exporters.onnx import build, save
from sam_export.exporters.onnx_float16 import to_float16
from sam_export.exporters.onnx_passes import clean
from sam_export.models import SamModel, components
from sam_export.models.components import Component
from sam_export.runtimes.onnxruntime_engine import OnnxRuntimeSession

from .graphs import (
    LARGEST_ERROR,
    PRECISIONS,
    PROMPT_SIZES,
    Exported,
    assert_matches,
    decoder_feeds,
    export_all,
    feeds_for,
    stored_bytes,
    worst_error,
)

STRUCTURE_BYTES = 250_000  # node names and shapes; the graphs of the tiny model are mostly that


@pytest.fixture(scope="module")
def exported(parts: dict[str, Component], tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export_all(parts, "onnx", tmp_path_factory.mktemp("onnx"))


def _constants(graph: Graph) -> dict[str, onnx.TensorProto]:
    return {tensor.name: tensor for tensor in onnx.load(graph.path).graph.initializer}


def test_only_standard_ops_of_opset_17_in_the_oldest_ir(graph: Graph) -> None:
    model = onnx.load(graph.path)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 17)]
    assert model.ir_version == 8
    assert {node.domain for node in model.graph.node} == {""}
    assert graph.files == (graph.path.name,)


def test_tensors_and_axes_are_the_contracts(graph: Graph) -> None:
    model = onnx.load(graph.path)
    for spec, value in zip(
        (*graph.contract.inputs, *graph.contract.outputs), (*model.graph.input, *model.graph.output), strict=True
    ):
        kind = value.type.tensor_type
        assert value.name == spec.name
        assert tuple(dim.dim_param or dim.dim_value for dim in kind.shape.dim) == spec.shape
        assert kind.elem_type == onnx.TensorProto.FLOAT
        assert value.doc_string == spec.meaning


def test_metadata_names_component_precision_and_tool(graph: Graph) -> None:
    model = onnx.load(graph.path)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert properties["sam_export.component"] == graph.contract.component
    assert properties["sam_export.precision"] == graph.recipe.precision
    assert model.producer_name == "sam-export"
    assert not any(node.doc_string for node in model.graph.node), "the tracer's stack traces are still there"


def test_encoder_matches_torch(exported: Exported, parts: dict[str, Component]) -> None:
    for precision in PRECISIONS:
        component = parts["image_encoder"]
        assert_matches(OnnxRuntimeSession, exported["image_encoder", precision], component, feeds_for(component))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("batch", "points", "has_mask"), PROMPT_SIZES)
def test_decoder_matches_torch(
    exported: Exported, parts: dict[str, Component], precision: str, batch: int, points: int, has_mask: int
) -> None:
    feeds = decoder_feeds(parts["mask_decoder"].contract, batch=batch, points=points, has_mask=has_mask)
    assert_matches(OnnxRuntimeSession, exported["mask_decoder", precision], parts["mask_decoder"], feeds)


@pytest.mark.parametrize("label", PointLabel, ids=lambda label: label.name.lower())
def test_every_label_matches_torch_and_matters(
    exported: Exported, parts: dict[str, Component], label: PointLabel
) -> None:
    component = parts["mask_decoder"]
    session = OnnxRuntimeSession(exported["mask_decoder", "fp32"].path, component.contract)
    feeds = decoder_feeds(component.contract, points=2, labels=(float(label),))
    assert worst_error(session, component, feeds) < LARGEST_ERROR["fp32"]
    other = PointLabel.FOREGROUND if label != PointLabel.FOREGROUND else PointLabel.BACKGROUND
    relabelled = {**feeds, "point_labels": np.full_like(feeds["point_labels"], float(other))}
    assert np.abs(session.run(feeds)["low_res_masks"] - session.run(relabelled)["low_res_masks"]).max() > 1e-3


def test_no_table_is_stored_expanded(exported: Exported, parts: dict[str, Component]) -> None:
    for name, component in parts.items():
        stored = {key: numpy_helper.to_array(tensor) for key, tensor in _constants(exported[name, "fp32"]).items()}
        floats = sum(array.nbytes for array in stored.values() if array.dtype.kind == "f")
        assert floats <= stored_bytes(component) + 20_000
    cells = component.example_inputs[0].shape[-1] ** 2
    assert not any(cells in array.shape for array in stored.values()), "the position of every cell is expanded"


def test_index_tables_are_shared_by_blocks_of_one_window(exported: Exported) -> None:
    model = onnx.load(exported["image_encoder", "fp32"].path)
    tables = {
        tensor.name: tuple(tensor.dims)
        for tensor in model.graph.initializer
        if len(tensor.dims) == 2 and tensor.data_type == onnx.TensorProto.INT64
    }
    gathered = [node.input[1] for node in model.graph.node if node.op_type == "Gather" and node.input[1] in tables]
    assert len(gathered) == 3
    assert len({tables[name] for name in gathered}) == len(set(gathered)) == 2, "windows of 7, 14 and 7"


def test_no_shape_arithmetic_is_left(exported: Exported) -> None:
    encoder = [node.op_type for node in onnx.load(exported["image_encoder", "fp32"].path).graph.node]
    assert not {"Shape", "Cast", "ConstantOfShape", "Constant", "Identity"} & set(encoder)
    decoder = [node.op_type for node in onnx.load(exported["mask_decoder", "fp32"].path).graph.node]
    assert decoder.count("Shape") == 1, "the learned tokens are repeated for each prompt, nothing else"


def test_fp16_stores_half_and_keeps_the_position_encoding(exported: Exported) -> None:
    constants = _constants(exported["mask_decoder", "fp16"])
    single = {name for name, tensor in constants.items() if tensor.data_type == onnx.TensorProto.FLOAT}
    assert "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix" in single
    # The last one is compared with an input, and inputs are fp32.
    assert all("pe_layer" in name or "cell_positions" in name or name == "masks/half" for name in single)
    whole, half = (exported["mask_decoder", precision].path.stat().st_size for precision in PRECISIONS)
    assert half < 0.6 * whole + STRUCTURE_BYTES / 2
    recipe = exported["mask_decoder", "fp16"].recipe
    assert (recipe.storage, recipe.compute) == ("fp16", "fp32")
    assert {layer.pattern for layer in recipe.layers} == {"prompt_encoder.pe_layer", "cell_positions"}


def test_fp16_casts_each_value_once(exported: Exported) -> None:
    casts = [
        (node.input[0], node.attribute[0].i)
        for node in onnx.load(exported["mask_decoder", "fp16"].path).graph.node
        if node.op_type == "Cast"
    ]
    assert len(casts) == len(set(casts))


def test_positions_far_from_zero_survive_fp16(exported: Exported, parts: dict[str, Component]) -> None:
    """Half a pixel at the far corner of the frame still moves the mask as it does in torch."""
    component = parts["mask_decoder"]
    session = OnnxRuntimeSession(exported["mask_decoder", "fp16"].path, component.contract)
    feeds = decoder_feeds(component.contract, points=2, labels=(1.0,))
    for shift in (0.0, 0.03):
        feeds["point_coords"] = np.full_like(feeds["point_coords"], 63.9 + shift)
        assert worst_error(session, component, feeds) < LARGEST_ERROR["fp16"]


def test_two_exports_are_byte_identical(exported: Exported, parts: dict[str, Component], tmp_path: Path) -> None:
    for (name, precision), first in exported.items():
        again = export(parts[name], "onnx", precision, tmp_path / precision)
        assert again.path.read_bytes() == first.path.read_bytes(), f"{name} {precision}"


def test_weights_above_the_limit_go_to_one_file_beside_the_graph(parts: dict[str, Component], tmp_path: Path) -> None:
    component = parts["mask_decoder"]
    model, _ = build(component, "fp32")
    files = save(model, tmp_path / "big.onnx", max_inline_bytes=1000)
    assert files == ("big.onnx", "big.onnx.data")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(files)
    session = OnnxRuntimeSession(tmp_path / "big.onnx", component.contract)
    assert worst_error(session, component, decoder_feeds(component.contract)) < LARGEST_ERROR["fp32"]


class _Swapped(nn.Module):
    """Gives its embeddings channels last."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, image: Tensor) -> Tensor:
        embeddings: Tensor = self.module(image)
        return embeddings.permute(0, 2, 3, 1)


def test_swapped_axes_are_detected(parts: dict[str, Component], tmp_path: Path) -> None:
    component = replace(parts["image_encoder"], module=_Swapped(parts["image_encoder"].module).eval())
    with pytest.raises(ContractError, match=r"float32\[1, 16, 16, 32\].*the contract says.*float32\[1, 32, 16, 16\]"):
        export(component, "onnx", "fp32", tmp_path)
    assert list(tmp_path.iterdir()) == []


class _Affine(nn.Module):
    def __init__(self, scale: float) -> None:
        super().__init__()
        self.register_buffer("scale", torch.full((3, 1, 1), scale))

    scale: Tensor

    def forward(self, image: Tensor) -> Tensor:
        return image * self.scale


def _affine(scale: float, float32_modules: tuple[str, ...] = ()) -> Component:
    spec = TensorSpec("image", (1, 3, 4, 4), "float32", "A picture")
    contract = GraphContract("image_encoder", (spec,), (replace(spec, name="scaled"),))
    return Component(_Affine(scale).eval(), contract, (torch.ones(1, 3, 4, 4),), float32_modules)


def test_constant_beyond_float16_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"scale.*1e\+06.*65504.*export at fp32"):
        export(_affine(1e6), "onnx", "fp16", tmp_path)


def test_float32_module_that_is_not_traced_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="'nowhere'"):
        export(_affine(2.0, ("nowhere",)), "onnx", "fp16", tmp_path)


def test_foreign_op_domain_is_an_error() -> None:
    text = """<ir_version: 8, opset_import: ["":17, "com.microsoft":1]>
    g (float[4] x) => (float[4] y) { y = com.microsoft.Gelu(x) }"""
    with pytest.raises(ConversionError, match=r"com\.microsoft\.Gelu"):
        clean(ir.from_onnx_text(text))


def test_folding_computes_what_shrinks_and_leaves_what_grows() -> None:
    shapes = {"row": (100, 1), "column": (1, 100), "square": (100, 100)}
    constants = {
        name: ir.val(name, const_value=ir.tensor(np.ones(shape, np.float32))) for name, shape in shapes.items()
    }
    x = ir.val("x", ir.DataType.FLOAT, [100, 100])
    grown = ir.node("Mul", [constants["row"], constants["column"]])
    turned = ir.node("Transpose", [constants["square"]])
    nodes = [grown, turned, ir.node("Add", [x, grown.outputs[0]]), ir.node("Sub", [x, turned.outputs[0]])]
    outputs = [node.outputs[0] for node in nodes[2:]]
    graph = ir.Graph([x], outputs, nodes=nodes, initializers=constants.values(), opset_imports={"": 17}, name="g")
    assert [node.op_type for node in clean(ir.Model(graph, ir_version=8)).graph] == ["Mul", "Add", "Sub"]


def test_graph_whose_types_cannot_be_inferred_is_an_error() -> None:
    text = """<ir_version: 8, opset_import: ["":17]>
    g (float[4] x) => (float[4] y) { a = Abs(missing)  y = Mul(x, a) }"""
    with pytest.raises(ConversionError, match="shape inference"):
        clean(ir.from_onnx_text(text))


def test_float16_of_a_mixed_graph_casts_at_the_border() -> None:
    text = """<ir_version: 8, opset_import: ["":17]>
    g (float[4] x) => (float[4] y) { a = Sin(x)  b = Neg(a)  y = Abs(b) }"""
    model = clean(ir.from_onnx_text(text))
    model.graph[0].name = "kept"
    to_float16(model, {"kept"})
    assert [node.op_type for node in model.graph] == ["Sin", "Cast", "Neg", "Abs", "Cast"]
    assert model.graph.outputs[0].name == "y"
    assert model.graph.outputs[0].dtype == ir.DataType.FLOAT


def test_float16_leaves_the_scales_of_a_resize_in_float32() -> None:
    text = """<ir_version: 8, opset_import: ["":17]>
    g (float[1, 1, 2, 2] x) => (float[1, 1, 4, 4] y) <float[4] scales = {1, 1, 2, 2}> { y = Resize(x, , scales) }"""
    model = clean(ir.from_onnx_text(text))
    to_float16(model, set())
    (resize,) = (node for node in model.graph if node.op_type == "Resize")
    assert resize.inputs[0].dtype == resize.outputs[0].dtype == ir.DataType.FLOAT16
    assert resize.inputs[2].dtype == ir.DataType.FLOAT
    onnx.checker.check_model(ir.to_proto(model), full_check=True)


@pytest.mark.parametrize(("target", "precision"), [("tflite", "fp32"), ("onnx", "bf16"), ("openvino", "int3")])
def test_unknown_target_or_precision_lists_what_there_is(
    parts: dict[str, Component], tmp_path: Path, target: str, precision: str
) -> None:
    known = TARGETS[target].precisions if target in TARGETS else TARGETS
    with pytest.raises(UnsupportedError, match=", ".join(known)):
        export(parts["mask_decoder"], target, precision, tmp_path)


def test_unwritable_folder_is_an_output_error(parts: dict[str, Component], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="TMPDIR"):
        export(parts["mask_decoder"], "onnx", "fp32", tmp_path / "file" / "below")


@pytest.mark.slow
def test_lite_medsam_is_small_and_exact(lite_medsam: SamModel, tmp_path: Path) -> None:
    largest = {("image_encoder", "fp32"): 23.7e6, ("image_encoder", "fp16"): 12.3e6}
    largest |= {("mask_decoder", "fp32"): 16.6e6, ("mask_decoder", "fp16"): 8.5e6}
    for component in components(lite_medsam):
        for precision in PRECISIONS:
            graph = export(component, "onnx", precision, tmp_path / precision)
            assert graph.path.stat().st_size < largest[component.contract.component, precision]
            session = OnnxRuntimeSession(graph.path, component.contract)
            assert worst_error(session, component, feeds_for(component)) < LARGEST_ERROR[precision]
