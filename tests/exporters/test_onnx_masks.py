"""What embeds masks runs for prompts that have one, and gives the same either way."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx.reference import ReferenceEvaluator

from sam_export.contract import Array, Graph
from sam_export.exporters import export
from sam_export.exporters.onnx_masks import skip_absent_masks
from sam_export.models import SamModel, components, untrained
from sam_export.runtimes import open_session

from ..models.family_cases import FAMILY_CASES
from .graphs import decoder_feeds

MASKED = """<ir_version: 8, opset_import: ["":17]>
g (float[2, 3, 4] image, float[B, 3, 4] mask_input, float[B] has_mask_input) => (float[B, 3, 4] y)
<float half = {0.5}, int64[3] column = {-1, 1, 1}, float[1, 4] nobody = {1, 2, 3, 4}, float[1] scale = {3}>
{
  present = Greater(has_mask_input, half)
  condition = Reshape(present, column)
  wide = Identity(scale)
  scaled = Mul(mask_input, wide)
  chosen = Where(condition, scaled, nobody)
  total = Add(image, chosen)
  y = Abs(total)
}"""


@pytest.fixture(scope="module")
def decoder(tiny_sam: SamModel, tmp_path_factory: pytest.TempPathFactory) -> Graph:
    return export(components(tiny_sam)[1], "onnx", "fp32", tmp_path_factory.mktemp("decoder"))


def rewritten(text: str) -> ir.Model:
    model = ir.from_onnx_text(text)
    skip_absent_masks(model)
    return model


def operations_run(graph: Graph, feeds: dict[str, Array], folder: Path) -> list[str]:
    """Return the names of the nodes that onnxruntime says it ran."""
    settings = ort.SessionOptions()
    settings.enable_profiling, settings.profile_file_prefix = True, str(folder / "profile")
    session = ort.InferenceSession(graph.path, settings, providers=["CPUExecutionProvider"])
    session.run(None, feeds)
    return [event["name"] for event in json.loads(Path(session.end_profiling()).read_text())]


@pytest.mark.parametrize("present", [(0, 0), (1, 1), (0, 1)])
def test_the_numbers_are_the_same(present: tuple[int, int]) -> None:
    generator = np.random.default_rng(2)
    feeds = {
        "image": generator.standard_normal((2, 3, 4)).astype(np.float32),
        "mask_input": generator.standard_normal((2, 3, 4)).astype(np.float32),
        "has_mask_input": np.array(present, np.float32),
    }
    plain, branched = (
        ReferenceEvaluator(ir.to_proto(model)).run(None, feeds)
        for model in (ir.from_onnx_text(MASKED), rewritten(MASKED))
    )
    assert np.array_equal(plain[0], branched[0])


def test_what_serves_masks_alone_is_in_the_branch() -> None:
    graph = rewritten(MASKED).graph
    (chosen,) = (node for node in graph if node.op_type == "If")
    branch = chosen.attributes["then_branch"].as_graph()
    assert [node.op_type for node in branch] == ["Identity", "Mul", "Where", "Add"]
    assert list(branch.initializers) == ["scale"]
    assert "scale" not in graph.initializers


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("y = Abs(total)", "more = Abs(chosen)\n  y = Add(more, total)"),
        ("total = Add(image, chosen)", "total = Mul(image, chosen)"),
        ("y = Abs(total)", "y = Add(scaled, total)"),
        ("mask_input", "masks"),
    ],
    ids=["what is chosen goes elsewhere, too", "it is not added", "masks go elsewhere, too", "no mask input"],
)
def test_other_graphs_stay(old: str, new: str) -> None:
    assert "If" not in [node.op_type for node in rewritten(MASKED.replace(old, new)).graph]


def test_nothing_is_embedded_for_nobody(decoder: Graph, tmp_path: Path) -> None:
    without, with_masks = (
        operations_run(decoder, decoder_feeds(decoder.contract, batch=2, has_mask=given), tmp_path) for given in (0, 1)
    )
    assert any("mask_downscaling" in name for name in with_masks)
    assert not any("mask_downscaling" in name for name in without)


def test_one_prompt_with_a_mask_and_one_without(decoder: Graph) -> None:
    session = open_session(decoder.path, decoder.contract, "onnx", decoder.recipe)
    feeds = decoder_feeds(decoder.contract, batch=2, has_mask=1)
    mixed = session.run({**feeds, "has_mask_input": np.array([1, 0], np.float32)})
    for prompt, given in enumerate((1, 0)):
        alone = session.run({**feeds, "has_mask_input": np.full(2, given, np.float32)})
        for name, values in alone.items():
            assert np.allclose(mixed[name][prompt], values[prompt], atol=1e-5), name


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILY_CASES)
def test_every_family_that_takes_masks_has_the_branch(family: str, tmp_path: Path) -> None:
    model = untrained(FAMILY_CASES[family](), seed=7)
    graph = onnx.load(export(components(model)[1], "onnx", "fp32", tmp_path).path).graph
    assert [node.op_type for node in graph.node].count("If") == model.variant.mask_rule.takes_mask
