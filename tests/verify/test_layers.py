"""The layers that bring an error in are named: on every target, for weights that differ and for weights in 8 bits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from sam_export.contract import ComponentName
from sam_export.errors import UnsupportedError
from sam_export.exporters import TARGETS as TARGET_NAMES
from sam_export.exporters import export
from sam_export.models import SamModel
from sam_export.models.components import Component
from sam_export.verify import layer_reference, layer_values
from sam_export.verify.layer_points import Point
from sam_export.verify.layers import LAYER_VALUES, LayerScore, describe, layer_scores, rank

from .faults import export_wrong, feeds, part

pytestmark = pytest.mark.slow

TARGETS = ["onnx", "openvino", "coreml"]
COMPONENTS: tuple[ComponentName, ...] = ("image_encoder", "mask_decoder")


@dataclass(frozen=True)
class Fault:
    """The parameter that is wrong, and the module that must be named."""

    component: ComponentName
    parameter: str
    module: str


ATTENTION = "encoder.layers.2.blocks.0.attn"
CONV, LINEAR = "encoder.layers.0.blocks.0.conv2", "encoder.layers.3.blocks.0.mlp.fc1"
NORM, UPSCALING = "mask_decoder.transformer.layers.1.norm2", "mask_decoder.output_upscaling.3"
DOWNSCALING, HEAD = "prompt_encoder.mask_downscaling.0", "mask_decoder.iou_prediction_head.layers.2"
FAULTS = (
    Fault("image_encoder", f"{CONV}.weight", CONV),
    Fault("image_encoder", f"{ATTENTION}.attention_biases", ATTENTION),
    Fault("mask_decoder", f"{NORM}.weight", NORM),
    Fault("mask_decoder", f"{UPSCALING}.weight", UPSCALING),
)
MORE_FAULTS = (
    Fault("image_encoder", f"{LINEAR}.bias", LINEAR),
    Fault("mask_decoder", "mask_decoder.mask_tokens.weight", "mask_decoder"),
    Fault("mask_decoder", f"{DOWNSCALING}.weight", DOWNSCALING),
    Fault("mask_decoder", f"{HEAD}.weight", HEAD),
)


def label(value: object) -> str | None:
    return value.parameter if isinstance(value, Fault) else None


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("fault", FAULTS, ids=label)
def test_the_layer_with_another_weight_is_named(tiny_sam: SamModel, tmp_path: Path, target: str, fault: Fault) -> None:
    require_named(tiny_sam, tmp_path, target, fault)


@pytest.mark.parametrize("fault", MORE_FAULTS, ids=label)
def test_layers_of_every_kind_are_named(tiny_sam: SamModel, tmp_path: Path, fault: Fault) -> None:
    require_named(tiny_sam, tmp_path, "onnx", fault)


def require_named(model: SamModel, folder: Path, target: str, fault: Fault) -> None:
    component = part(model, fault.component)
    graph = export_wrong(component, fault.parameter, target, folder)
    first, second, *_ = layer_scores(graph, component, feeds(component))
    assert first.module == fault.module
    assert first.snr_db < 40
    assert second.snr_db > 100, "an error is only where it comes in"


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", COMPONENTS)
@pytest.mark.parametrize(("precision", "least"), [("fp32", 100), ("fp16", 55)])
def test_every_layer_of_a_right_graph_is_found_and_right(
    tiny_sam: SamModel, tmp_path: Path, target: str, name: ComponentName, precision: str, least: float
) -> None:
    component = part(tiny_sam, name)
    scores = layer_scores(export(component, target, precision, tmp_path), component, feeds(component))
    assert scores[0].snr_db > least
    assert with_weights(component) <= {score.module for score in scores}


def with_weights(component: Component) -> set[str]:
    """The modules that multiply by weights."""
    kinds = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.LayerNorm)
    return {name for name, module in component.module.named_modules() if isinstance(module, kinds)}


@pytest.mark.parametrize("target", ["onnx", "openvino"])
def test_a_graph_taken_apart_in_parts_gives_the_same(
    tiny_sam: SamModel, tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    component = part(tiny_sam, "image_encoder")
    graph = export_wrong(component, FAULTS[0].parameter, target, tmp_path)
    whole = layer_scores(graph, component, feeds(component))
    monkeypatch.setattr(layer_values, "PART_BYTES", 1 << 21)
    in_parts = layer_scores(graph, component, feeds(component))
    assert in_parts[0].module == whole[0].module == FAULTS[0].module
    assert in_parts[0].snr_db == pytest.approx(whole[0].snr_db, abs=0.1)
    assert in_parts[1].snr_db > 100
    assert {score.module for score in in_parts} == {score.module for score in whole}


@pytest.mark.parametrize("target", ["onnx", "openvino"])
def test_every_layer_of_lite_medsam_is_found_and_right(lite_medsam: SamModel, tmp_path: Path, target: str) -> None:
    component = part(lite_medsam, "image_encoder")
    scores = layer_scores(export(component, target, "fp32", tmp_path), component, feeds(component))
    assert scores[0].snr_db > 100
    assert with_weights(component) <= {score.module for score in scores}


def test_a_graph_without_names_is_not_told_apart(tiny_sam: SamModel, tmp_path: Path) -> None:
    component = part(tiny_sam, "mask_decoder")
    graph = export(component, "onnx", "fp32", tmp_path)
    model = onnx.load(graph.path)
    for number, node in enumerate(model.graph.node):
        node.name = f"node_{number}"
    onnx.save(model, graph.path)
    assert layer_scores(graph, component, feeds(component)) == ()


def test_too_many_values_are_refused(tiny_sam: SamModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    component = part(tiny_sam, "image_encoder")
    graph = export(component, "onnx", "fp32", tmp_path)
    monkeypatch.setattr(layer_reference, "MOST_BYTES", 10**6)
    with pytest.raises(UnsupportedError, match=r"over 0\.001 GB"):
        layer_scores(graph, component, feeds(component))


def test_every_target_can_be_taken_apart() -> None:
    assert LAYER_VALUES.keys() == TARGET_NAMES.keys()


def scored(*snrs: float) -> tuple[LayerScore, ...]:
    return tuple(LayerScore(f"layers.{index}", snr) for index, snr in enumerate(snrs))


def test_a_module_has_the_least_snr_of_its_values() -> None:
    points = [Point(value, module, torch.zeros(1)) for value, module in (("a", "x"), ("b", "y"), ("c", "x"))]
    assert rank(points, (50.0, 30.0, 20.0), ("x", "y", "y.z")) == (
        LayerScore("x", 20.0),
        LayerScore("y", 30.0, has_parts=True),
    )


@pytest.mark.parametrize(
    ("scores", "whole", "text"),
    [
        (scored(7, 8.26, 16, 16.5, 90), 2, "worst layers: layers.0 (7.0 dB), layers.1 (8.3 dB), layers.2 (16.0 dB); "),
        (scored(20, 31, 120), 15, "worst layers: layers.0 (20.0 dB); the median of 3 is 31.0 dB"),
        (scored(-200, 60, 60), -200, "worst layers: layers.0 (NaN or infinity); "),
        (scored(119, 120, 121), 12, "no layer of the mask decoder explains it alone (worst: layers.0 (119.0 dB), "),
        ((), 12, "the mask decoder's layers cannot be told apart"),
        (
            (LayerScore("a.b", 5, has_parts=True), LayerScore("", 6)),
            4,
            "a.b between its parts (5.0 dB), operations out",
        ),
    ],
    ids=["three", "one", "nan", "none alone", "unknown", "own code"],
)
def test_the_text_names_the_worst_layers(scores: tuple[LayerScore, ...], whole: float, text: str) -> None:
    found = describe(scores, "mask decoder", whole)
    assert text in found
    assert "\n" not in found
