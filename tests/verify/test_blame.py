"""When a candidate fails, the component that is wrong is the one that is named, and the layer in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sam_export.contract import COMPONENT_NAMES, ComponentName, Graph, Recipe
from sam_export.exporters import export
from sam_export.models import SamModel, components
from sam_export.verification import Failed
from sam_export.verify.blame import blame
from sam_export.verify.evaluators import evaluation_session
from sam_export.verify.gate import Sessions, verify
from sam_export.verify.limits import limits_for
from sam_export.verify.pictures import picture_set
from sam_export.verify.suite import Suite, build_suite
from sam_export.verify.torch_session import torch_sessions

from .faults import export_wrong, part
from .test_gate import WRONG_OUTPUTS
from .wrong_session import WrongSession

pytestmark = pytest.mark.slow

RECIPE = Recipe("fp32", storage="fp32", compute="fp32")
LAYERS: dict[ComponentName, str] = {
    "image_encoder": "encoder.layers.1.blocks.0.mlp.fc1",
    "mask_decoder": "mask_decoder.transformer.layers.0.mlp.lin1",
}


@pytest.fixture(scope="module")
def suite(tiny_sam: SamModel) -> Suite:
    return build_suite(tiny_sam, picture_set("gate")[:1])


def failed(sessions: Sessions, suite: Suite) -> Failed:
    verdict = verify(sessions, suite, limits_for("fp32"), evaluated_by="test")
    assert isinstance(verdict, Failed)
    return verdict


@pytest.mark.parametrize(("wrong", "change"), [("image_encoder", "zeros"), ("mask_decoder", "masks transposed")])
def test_the_wrong_component_is_named(tiny_sam: SamModel, suite: Suite, wrong: ComponentName, change: str) -> None:
    reference = torch_sessions(tiny_sam)
    sessions = {**reference, wrong: WrongSession(reference[wrong], outputs=WRONG_OUTPUTS[change])}
    found = re.search(
        r"mask IoU ([\d.]+) with only the image encoder exchanged, ([\d.]+)",
        blame(sessions, (), components(tiny_sam), suite, failed(sessions, suite)),
    )
    assert found is not None
    encoder_alone, decoder_alone = map(float, found.groups())
    assert (encoder_alone < decoder_alone) == (wrong == "image_encoder")
    assert max(encoder_alone, decoder_alone) == 1


@pytest.mark.parametrize("wrong", LAYERS)
def test_the_wrong_layer_is_named(tiny_sam: SamModel, suite: Suite, tmp_path: Path, wrong: ComponentName) -> None:
    graphs = exported(tiny_sam, tmp_path, wrong)
    sessions = {graph.contract.component: evaluation_session(graph)[0] for graph in graphs}
    text = blame(sessions, graphs, components(tiny_sam), suite, failed(sessions, suite))
    (named,) = re.findall(r"the (\w+ \w+)'s worst layers: ([\w.]+) \([-\d.]+ dB\); the median of \d+ is", text)
    assert named == (wrong.replace("_", " "), LAYERS[wrong])
    assert "\n" not in text


def exported(model: SamModel, folder: Path, wrong: ComponentName) -> tuple[Graph, ...]:
    return tuple(
        export_wrong(part(model, name), f"{LAYERS[name]}.weight", "onnx", folder)
        if name == wrong
        else export(part(model, name), "onnx", "fp32", folder)
        for name in COMPONENT_NAMES
    )


def test_a_wrong_prediction_of_iou_is_the_decoders(tiny_sam: SamModel, suite: Suite) -> None:
    reference = torch_sessions(tiny_sam)
    change = WRONG_OUTPUTS["predictions of zero"]
    sessions = {**reference, "mask_decoder": WrongSession(reference["mask_decoder"], outputs=change)}
    graphs = tuple(Graph(part.contract, "none", RECIPE, Path("none"), ()) for part in components(tiny_sam))
    text = blame(sessions, graphs, components(tiny_sam), suite, failed(sessions, suite))
    assert "mask decoder's layers" in text
    assert "image encoder's layers" not in text


def test_no_layer_is_named_where_each_is_right(tiny_sam: SamModel, suite: Suite, tmp_path: Path) -> None:
    graphs = tuple(export(component, "onnx", "fp32", tmp_path) for component in components(tiny_sam))
    sessions = {graph.contract.component: evaluation_session(graph)[0] for graph in graphs}
    wrong = WrongSession(sessions["image_encoder"], outputs=WRONG_OUTPUTS["zeros"])
    text = blame(
        {**sessions, "image_encoder": wrong},
        graphs,
        components(tiny_sam),
        suite,
        failed({**sessions, "image_encoder": wrong}, suite),
    )
    assert "no layer of the image encoder explains it alone" in text
    assert "mask decoder's worst" not in text


def test_a_graph_that_cannot_be_taken_apart_still_fails(tiny_sam: SamModel, suite: Suite, tmp_path: Path) -> None:
    graphs = exported(tiny_sam, tmp_path, "mask_decoder")
    sessions = {graph.contract.component: evaluation_session(graph)[0] for graph in graphs}
    verdict = failed(sessions, suite)
    graphs[1].path.write_bytes(b"not a graph")
    text = blame(sessions, graphs, components(tiny_sam), suite, verdict)
    assert re.search(r"the mask decoder's layers cannot be told apart \(\w+: .+\)$", text)
