"""Plans found beforehand: those of the package fit the models that they are for, and serve no other checkpoint."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import get_args

import pytest

from sam_export.errors import RequestError
from sam_export.exporters import TARGETS
from sam_export.models import FAMILIES, VARIANTS, components
from sam_export.models.components import Component
from sam_export.models.loader import SamModel
from sam_export.quantize import found
from sam_export.quantize.found import FOLDER, found_plan
from sam_export.quantize.layers import quantizable_layers
from sam_export.quantize.plan import (
    SCHEMA_VERSION,
    ComponentPlan,
    LayerPlan,
    QuantizationPlan,
    decode_plan,
    encode_plan,
)
from sam_export.quantize.quantizer import check_layers
from sam_export.quantize.recipes import OF_TARGET
from sam_export.search_record import Preferred, decode_records, encode_records

from ..verify.search_samples import record

PLACE = files("sam_export.quantize").joinpath(FOLDER)
FILES = {entry.name: entry.read_bytes() for entry in PLACE.iterdir()} if PLACE.is_dir() else {}
RECORDS = sorted(name for name in FILES if name.endswith("-search.json"))
PLANS = sorted(name for name in FILES if name.endswith(".json") and name not in RECORDS)

CHECKPOINT = "ab" * 32
PLAN = QuantizationPlan(
    SCHEMA_VERSION,
    "tiny_sam",
    CHECKPOINT,
    "onnx",
    "int8",
    {"image_encoder": ComponentPlan(layers=(LayerPlan("encoder.fc", "int8", "uint8"),))},
)


@cache
def parts_of(model: str) -> tuple[Component, ...]:
    """Return the components of a built-in model, without the weights that it was trained to."""
    variant = VARIANTS[model]
    return components(SamModel(variant, FAMILIES[variant.family].build(variant).eval(), "", weights_trained=False))


def test_the_folder_holds_nothing_else() -> None:
    assert [name for name in FILES if name not in (*PLANS, *RECORDS)] == []


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_of_the_package_fits_its_model(name: str) -> None:
    plan = decode_plan(FILES[name], name)
    stem = f"{plan.model}-{plan.target}-{plan.precision}"
    prefer = {f"{stem}.json": "speed", f"{stem}-accuracy.json": "accuracy", f"{stem}-size.json": "size"}[name]
    assert plan.target in TARGETS
    assert plan.precision in OF_TARGET[plan.target]
    assert plan.checkpoint_sha256 == VARIANTS[plan.model].checkpoint_sha256
    for part in parts_of(plan.model):
        own = plan.components.get(part.contract.component)
        if own is not None:
            check_layers(part, own)
            assert set(quantizable_layers(part.module)) == {one.layer for one in own.layers}
            assert len({one.layer for one in own.layers}) == len(own.layers)
    assert found_plan(plan.model, plan.checkpoint_sha256, plan.target, plan.precision, prefer)[0] == plan


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_of_the_package_is_of_its_plan(name: str) -> None:
    records = decode_records(FILES[name], name)
    plan = decode_plan(FILES[name.replace("-search.json", ".json")], name)
    assert records
    for one in records:
        assert one.component in plan.components
        assert one.chosen is not None
        lifted = {layer.layer for layer in plan.components[one.component].layers if layer.inputs in ("float", "split")}
        assert bool(one.chosen.without) <= bool(lifted)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that has one plan, of the tiny model."""
    monkeypatch.setattr(found, "files", lambda _: tmp_path)
    folder = tmp_path / FOLDER
    folder.mkdir()
    (folder / "tiny_sam-onnx-int8.json").write_bytes(encode_plan(PLAN))
    return folder


def test_a_plan_is_found_with_the_record_of_its_search(place: Path) -> None:
    assert found_plan("tiny_sam", CHECKPOINT, "onnx", "int8") == (PLAN, ())
    (place / "tiny_sam-onnx-int8-search.json").write_bytes(encode_records((record(),)))
    assert found_plan("tiny_sam", CHECKPOINT, "onnx", "int8") == (PLAN, (record(),))


@pytest.mark.parametrize(
    "asked",
    [
        ("tiny_sam", "cd" * 32, "onnx", "int8"),
        ("tiny_sam", "", "onnx", "int8"),
        ("other_sam", CHECKPOINT, "onnx", "int8"),
        ("tiny_sam", CHECKPOINT, "openvino", "int8"),
        ("tiny_sam", CHECKPOINT, "onnx", "auto"),
    ],
    ids=["another checkpoint", "no checkpoint", "model", "target", "precision"],
)
def test_a_plan_for_something_else_is_not_used(place: Path, asked: tuple[str, str, str, str]) -> None:
    (place / "tiny_sam-onnx-int8-search.json").write_bytes(encode_records((record(),)))
    assert found_plan(*asked) == (None, ())


def test_a_plan_that_names_no_checkpoint_is_not_used(place: Path) -> None:
    (place / "tiny_sam-onnx-int8.json").write_bytes(encode_plan(replace(PLAN, checkpoint_sha256="")))
    assert found_plan("tiny_sam", CHECKPOINT, "onnx", "int8") == (None, ())


def test_a_damaged_plan_is_named(place: Path) -> None:
    (place / "tiny_sam-onnx-int8.json").write_bytes(b"{")
    with pytest.raises(RequestError, match=r"^tiny_sam-onnx-int8: not a recipe"):
        found_plan("tiny_sam", CHECKPOINT, "onnx", "int8")


def test_layers_that_a_model_does_not_have_are_noticed() -> None:
    """What every plan of the package is held to can fail."""
    encoder = parts_of("lite_medsam")[0]
    with pytest.raises(RequestError, match=r"encoder\.fc"):
        check_layers(encoder, PLAN.components["image_encoder"])


@pytest.mark.parametrize("prefer", get_args(Preferred))
@pytest.mark.parametrize("precision", ["int8", "w8"])
def test_a_target_with_the_graphs_of_another_takes_its_plans(precision: str, prefer: Preferred) -> None:
    checkpoint = VARIANTS["lite_medsam"].checkpoint_sha256
    plan, _ = found_plan("lite_medsam", checkpoint, "onnx", precision, prefer)
    assert found_plan("lite_medsam", checkpoint, "web", precision, prefer) == (plan, ())
