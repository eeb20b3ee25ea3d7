"""Modules that stay in fp32 beside fp16: those whose numbers do not fit, and those that a search finds."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sam_export.errors import AccuracyError
from sam_export.exporters import ExportOptions
from sam_export.jobs import ExportRequest, Job
from sam_export.manifest import read_manifest
from sam_export.models import SamModel, components
from sam_export.pipeline import export_model
from sam_export.quantize import float_search
from sam_export.quantize.float_search import kept_in_float32
from sam_export.quantize.task import QuantizeRequest, Task
from sam_export.verification import Passed
from sam_export.verify.pictures import picture_set
from sam_export.verify.suite import build_suite

MLP = "layers.1.blocks.0.mlp"


def scaled(model: SamModel, first: float, second: float) -> SamModel:
    """Return the model with the first layer of an MLP enlarged, and the second."""
    module = copy.deepcopy(model.module)
    with torch.no_grad():
        for parameter in module.get_submodule(f"image_encoder.{MLP}.fc1").parameters():
            parameter.mul_(first)
        module.get_parameter(f"image_encoder.{MLP}.fc2.weight").mul_(second)
    return replace(model, module=module)


def task(model: SamModel, target: str, precision: str = "fp16", **changes: object) -> Task:
    asked = QuantizeRequest(**changes)  # type: ignore[arg-type]  # a field's value by its name
    return Task(model, components(model), target, precision, ExportOptions(), asked, None)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["coreml", "onnx", "openvino"])
def test_a_layer_that_does_not_fit_into_fp16_stays_in_fp32(tiny_sam: SamModel, tmp_path: Path, target: str) -> None:
    """Core ML computes in fp16; the others store it for those that do."""
    model = scaled(tiny_sam, 1e6, 1e-6)
    suite = build_suite(model, picture_set("gate")[:1])
    (outcome,) = export_model(model, (Job(target, "fp16"),), suite, ExportRequest("tiny_sam", (target,), tmp_path))
    assert outcome.error is None
    assert isinstance(outcome.verification, Passed)
    assert outcome.bundle is not None
    layers = read_manifest(outcome.bundle).variants[0].graphs["image_encoder"].recipe.layers
    reasons = {choice.pattern: choice.reason for choice in layers if choice.precision == "fp32"}
    assert reasons.keys() == {"normalise", f"encoder.{MLP}"}
    assert re.match(rf"encoder\.{MLP}\.fc1 \(.*\) reaches .*, fp16 ends at 65504", reasons[f"encoder.{MLP}"])
    assert any("fp16 ends at 65504" in note for note in outcome.verification.measurement.notes)


def test_what_no_module_holds_cannot_stay_in_fp32(
    tiny_sam: SamModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(float_search, "too_large", lambda *_: {"": None})
    model = scaled(tiny_sam, 1e6, 1e-6)
    suite = build_suite(model, picture_set("gate")[:1])
    (outcome,) = export_model(model, (Job("onnx", "fp16"),), suite, ExportRequest("tiny_sam", ("onnx",), tmp_path))
    assert isinstance(outcome.error, AccuracyError)
    assert f"encoder.{MLP}.fc1" in str(outcome.error)
    assert not list(tmp_path.iterdir())


def test_a_model_that_does_needs_nothing(tiny_sam: SamModel) -> None:
    assert kept_in_float32(task(tiny_sam, "onnx")).components == {}
    assert kept_in_float32(task(tiny_sam, "onnx", "int8+fp32")).components == {}


def test_what_fp32_does_not_reach_is_not_searched_for(tiny_sam: SamModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(float_search, "peaks", lambda *_: pytest.fail("it was looked for"))
    assert kept_in_float32(task(tiny_sam, "onnx", min_iou=1.0)).components == {}
