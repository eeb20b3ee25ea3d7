from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sam_export.contract import Graph, PointLabel
from sam_export.errors import ConversionError
from sam_export.exporters import export
from sam_export.exporters.module_scopes import ops_of_modules
from sam_export.models import SamModel, components
from sam_export.models.components import Component
from sam_export.optional import import_openvino
from sam_export.quantize.recipes import fast_float
from sam_export.runtimes.engines import open_session
from sam_export.runtimes.openvino_engine import OpenVinoSession

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

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def exported(parts: dict[str, Component], tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export_all(parts, "openvino", tmp_path_factory.mktemp("openvino"))


def _read(graph: Graph) -> Any:
    return import_openvino(purpose="testing", extra="dev").Core().read_model(graph.path)


def _constants(graph: Graph, kind: str) -> dict[str, int]:
    """Return the bytes of the constants of one type ("f32"), by name."""
    return {
        op.get_friendly_name(): op.get_byte_size()
        for op in _read(graph).get_ops()
        if op.get_type_name() == "Constant" and op.get_element_type().get_type_name() == kind
    }


def test_tensors_are_the_contracts_and_explained(graph: Graph) -> None:
    model = _read(graph)
    for spec, port in zip(
        (*graph.contract.inputs, *graph.contract.outputs), (*model.inputs, *model.outputs), strict=True
    ):
        shape = tuple(size.get_length() if size.is_static else None for size in port.get_partial_shape())
        assert port.get_names() == {spec.name}
        assert shape == tuple(size if isinstance(size, int) else None for size in spec.shape)
        assert model.get_rt_info(["sam_export", "tensors", spec.name]).astype(str) == spec.meaning
    assert model.get_rt_info(["sam_export", "precision"]).astype(str) == graph.recipe.precision
    assert model.get_rt_info(["sam_export", "tool"]).astype(str).startswith("sam-export ")
    assert graph.files == (f"{graph.contract.component}.xml", f"{graph.contract.component}.bin")


def test_encoder_matches_torch(exported: Exported, parts: dict[str, Component]) -> None:
    for precision in PRECISIONS:
        component = parts["image_encoder"]
        assert_matches(OpenVinoSession, exported["image_encoder", precision], component, feeds_for(component))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("batch", "points", "has_mask"), PROMPT_SIZES)
def test_decoder_matches_torch(
    exported: Exported, parts: dict[str, Component], precision: str, batch: int, points: int, has_mask: int
) -> None:
    feeds = decoder_feeds(parts["mask_decoder"].contract, batch=batch, points=points, has_mask=has_mask)
    assert_matches(OpenVinoSession, exported["mask_decoder", precision], parts["mask_decoder"], feeds)


@pytest.mark.parametrize("label", PointLabel, ids=lambda label: label.name.lower())
def test_every_label_matches_torch(exported: Exported, parts: dict[str, Component], label: PointLabel) -> None:
    component = parts["mask_decoder"]
    session = OpenVinoSession(exported["mask_decoder", "fp32"].path, component.contract)
    feeds = decoder_feeds(component.contract, points=2, labels=(float(label),))
    assert worst_error(session, component, feeds) < LARGEST_ERROR["fp32"]


def test_no_table_is_stored_expanded(exported: Exported, parts: dict[str, Component]) -> None:
    for name, component in parts.items():
        assert sum(_constants(exported[name, "fp32"], "f32").values()) <= stored_bytes(component) + 20_000


def test_attention_is_fused(exported: Exported) -> None:
    kinds = [op.get_type_name() for op in _read(exported["image_encoder", "fp32"]).get_ops()]
    assert kinds.count("ScaledDotProductAttention") >= 2
    assert kinds.count("Gather") == 3, "one small table of biases for each attention"
    assert "ShapeOf" not in kinds


def test_fp16_stores_half_and_keeps_the_position_encoding(exported: Exported) -> None:
    graph = exported["mask_decoder", "fp16"]
    kept = _constants(graph, "f32")
    assert sum(kept.values()) < 20_000
    assert any("cell_positions" in name for name in kept)
    marked = {
        op.get_friendly_name() for op in _read(graph).get_ops() if "DisablePrecisionConversion_0" in op.get_rt_info()
    }
    assert {"/pe_layer/Sin", "/pe_layer/Cos", "/pe_layer/MatMul"} <= marked
    weights = {
        precision: exported["mask_decoder", precision].path.with_suffix(".bin").stat().st_size
        for precision in PRECISIONS
    }
    assert weights["fp16"] < 0.6 * weights["fp32"]
    assert (graph.recipe.storage, graph.recipe.compute) == ("fp16", "fp32")


def test_bf16_is_the_file_of_fp16_and_is_opened_to_compute_in_bf16(
    exported: Exported, parts: dict[str, Component], tmp_path: Path
) -> None:
    low = export(parts["mask_decoder"], "openvino", "bf16", tmp_path)
    half = exported["mask_decoder", "fp16"]
    assert low.path.with_suffix(".bin").read_bytes() == half.path.with_suffix(".bin").read_bytes()
    assert (low.recipe.precision, low.recipe.storage, low.recipe.compute) == ("bf16", "fp16", "bf16")
    assert low.recipe.layers == half.recipe.layers
    if fast_float() == "bf16":
        session = open_session(low.path, low.contract, "openvino", low.recipe)
        assert session.report.compute_precision == "bf16"


def test_two_exports_are_byte_identical(exported: Exported, parts: dict[str, Component], tmp_path: Path) -> None:
    for (name, precision), first in exported.items():
        again = export(parts[name], "openvino", precision, tmp_path / precision)
        for file in first.files:
            assert (again.path.parent / file).read_bytes() == (first.path.parent / file).read_bytes(), file


def test_ops_are_found_by_module_even_if_its_parents_are_not_called() -> None:
    names = ("/pe_layer/Sin", "/encoder/pe_layer/Sin", "/decoder/mlp/MatMul", "constant")
    assert ops_of_modules(names, ("prompt.pe_layer",), "graph") == {"/pe_layer/Sin"}
    assert ops_of_modules(names, ("decoder", "encoder.pe_layer"), "graph") == {*names[:3]}
    with pytest.raises(ConversionError, match=r"'decoder\.attention'"):
        ops_of_modules(names, ("decoder.attention",), "graph")


def test_lite_medsam_is_small_and_exact(lite_medsam: SamModel, tmp_path: Path) -> None:
    largest = {("image_encoder", "fp32"): 23.8e6, ("image_encoder", "fp16"): 12.5e6}
    largest |= {("mask_decoder", "fp32"): 16.8e6, ("mask_decoder", "fp16"): 8.8e6}
    for component in components(lite_medsam):
        for precision in PRECISIONS:
            graph = export(component, "openvino", precision, tmp_path / precision)
            size = sum((graph.path.parent / file).stat().st_size for file in graph.files)
            assert size < largest[component.contract.component, precision]
            session = OpenVinoSession(graph.path, component.contract)
            error = worst_error(session, component, feeds_for(component))
            assert np.isfinite(error)
            assert error < LARGEST_ERROR[precision]
