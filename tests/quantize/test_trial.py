"""A try on the real engine: what it weighs, what it computes in, and how far it is from the float graph."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sam_export.contract import ComponentName, Recipe
from sam_export.errors import NotVerifiableError
from sam_export.exporters import ExportOptions, export
from sam_export.models import Component, SamModel, components
from sam_export.quantize.calibration import Calibration
from sam_export.quantize.describe import resolved_recipe
from sam_export.quantize.kernels import INTEGER_KERNELS, layer_plans
from sam_export.quantize.plan import ComponentPlan
from sam_export.quantize.quantizer import Quantizer
from sam_export.quantize.trial import ROUNDS, Bench
from sam_export.verify.evaluators import evaluation_session
from sam_export.verify.pictures import picture_set
from sam_export.verify.prompts import Case
from sam_export.verify.suite import Suite, build_suite

from ..verify.wrong_session import Feeds, WrongSession

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def suite(tiny_sam: SamModel) -> Suite:
    """Weights that nobody trained have no stable masks; half of their prompts stand in for such."""
    drawn = build_suite(tiny_sam, picture_set("search")[:2])

    def given(place: int, case: Case) -> Case:
        return replace(case, prompt=replace(case.prompt, role="harsh" if place % 2 else "stable"))

    pictures = tuple(
        replace(entry, cases=tuple(given(place, case) for place, case in enumerate(entry.cases)))
        for entry in drawn.pictures
    )
    return replace(drawn, pictures=pictures)


@pytest.fixture(scope="module")
def benches(tiny_sam: SamModel, suite: Suite, tmp_path_factory: pytest.TempPathFactory) -> dict[ComponentName, Bench]:
    folder = tmp_path_factory.mktemp("float")
    graphs = [export(part, "onnx", "fp32", folder) for part in components(tiny_sam)]
    encoder, decoder = (evaluation_session(graph)[0] for graph in graphs)
    options = ExportOptions()
    return {
        "image_encoder": Bench("image_encoder", "onnx", "fp32", options, suite, encoder, decoder),
        "mask_decoder": Bench("mask_decoder", "onnx", "fp32", options, suite, decoder, encoder),
    }


def coarse(part: Component) -> Component:
    """Return the component with every large weight rounded to a few values."""

    def rounded(values: torch.Tensor) -> torch.Tensor:
        step = values.abs().max() / 3
        return torch.round(values / step) * step

    module = copy.deepcopy(part.module)
    for parameter in module.parameters():
        if parameter.dim() >= 2:
            parameter.data = rounded(parameter.data)
    return replace(part, module=module)


@pytest.fixture(scope="module")
def quantized(tiny_sam: SamModel) -> Component:
    encoder = components(tiny_sam)[0]
    plan = ComponentPlan(smoothing=0.75, layers=layer_plans(encoder, INTEGER_KERNELS["onnx"]))
    made = Quantizer(encoder, Calibration(tiny_sam, picture_set("calibration")[:1])).quantized(plan)
    return replace(made, recipe=resolved_recipe(encoder, plan, "int8"))


def test_bytes_are_those_of_the_exported_graph(
    benches: dict[ComponentName, Bench], tiny_sam: SamModel, quantized: Component, tmp_path: Path
) -> None:
    found = benches["image_encoder"].score(quantized)
    graph = export(quantized, "onnx", "fp32", tmp_path)
    assert found.bytes == sum((tmp_path / file).stat().st_size for file in graph.files)
    assert found.bytes < benches["image_encoder"].score(components(tiny_sam)[0]).bytes
    assert 0 < found.latency < math.inf


def test_time_is_taken_beside_the_float_graph(benches: dict[ComponentName, Bench], quantized: Component) -> None:
    bench, fed = benches["image_encoder"], list[tuple[str, ...]]()

    def counted(feeds: Feeds) -> Feeds:
        fed.append(tuple(feeds))
        return feeds

    replace(bench, baseline=WrongSession(bench.baseline, feeds=counted)).worth(quantized)
    assert fed == [("image",)] * (1 + ROUNDS)


def test_the_float_graph_scores_like_the_reference(benches: dict[ComponentName, Bench], tiny_sam: SamModel) -> None:
    for part in components(tiny_sam):
        found = benches[part.contract.component].score(part)
        assert min(found.stable_mean, found.stable_worst, found.harsh_mean, found.harsh_p5) > 0.999


def test_a_coarse_component_scores_worse(
    benches: dict[ComponentName, Bench], tiny_sam: SamModel, quantized: Component
) -> None:
    eight_bits = benches["image_encoder"].score(quantized)
    for part in components(tiny_sam):
        found = benches[part.contract.component].score(coarse(part))
        assert found.stable_worst <= found.stable_mean < eight_bits.stable_mean <= 1
        assert found.harsh_p5 <= found.harsh_mean < eight_bits.harsh_mean <= 1


def test_a_group_is_worth_the_noise_that_it_brings(
    benches: dict[ComponentName, Bench], tiny_sam: SamModel, quantized: Component
) -> None:
    encoder, decoder = components(tiny_sam)
    powers = [benches["image_encoder"].worth(part).power for part in (encoder, quantized, coarse(encoder))]
    assert powers[0] < 1e-8
    assert 1e-6 < powers[1] < powers[2] / 3
    assert benches["mask_decoder"].worth(decoder).power < 1e-8
    assert benches["mask_decoder"].worth(coarse(decoder)).power > 1e-3


def test_the_engine_computes_in_what_the_recipe_says(benches: dict[ComponentName, Bench], tiny_sam: SamModel) -> None:
    encoder = components(tiny_sam)[0]
    wrong = replace(encoder, recipe=Recipe("int8", "int8", "bf16"))
    for measured in (benches["image_encoder"].score, benches["image_encoder"].worth):
        with pytest.raises(NotVerifiableError, match=r"bf16.*computes in fp32"):
            measured(wrong)


def test_only_harsh_prompts_tell_what_a_group_is_worth(
    benches: dict[ComponentName, Bench], tiny_sam: SamModel, suite: Suite
) -> None:
    """Masks that are hard to move would hide the noise; with half of the prompts it is another number."""
    encoder = coarse(components(tiny_sam)[0])
    bench = benches["image_encoder"]
    harsh = tuple(
        replace(entry, cases=tuple(case for case in entry.cases if case.prompt.role == "harsh"))
        for entry in suite.pictures
    )
    alone = replace(bench, suite=replace(suite, pictures=harsh)).worth(encoder).power
    assert bench.worth(encoder).power == pytest.approx(alone, rel=1e-6)
    every = tuple(
        replace(entry, cases=tuple(replace(case, prompt=replace(case.prompt, role="harsh")) for case in entry.cases))
        for entry in suite.pictures
    )
    assert replace(bench, suite=replace(suite, pictures=every)).worth(encoder).power != pytest.approx(alone, rel=1e-3)
