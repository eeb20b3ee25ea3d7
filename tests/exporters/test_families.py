"""Every family, on every target: exported, opened, and held to the gate on random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sam_export.exporters import TARGETS
from sam_export.exporters.onnx import build
from sam_export.jobs import ExportRequest, Job, by_bundle, name_of
from sam_export.models import FAMILIES, SamModel, components, untrained
from sam_export.pipeline import export_model
from sam_export.verification import Passed
from sam_export.verify.pictures import picture_set
from sam_export.verify.suite import Suite, build_suite

from ..models.family_cases import FAMILY_CASES

FLOATS = ("fp32", "fp16")
# Core ML's two are one conversion with another type for the numbers: `test_pipeline` makes both, of one family.
FLOATS_OF = dict.fromkeys(TARGETS, FLOATS) | {"coreml": ("fp16",)}


@pytest.fixture(scope="module", params=FAMILY_CASES)
def model(request: pytest.FixtureRequest) -> SamModel:
    return untrained(FAMILY_CASES[request.param](), seed=7)


@pytest.fixture(scope="module")
def suite(model: SamModel) -> Suite:
    return build_suite(model, picture_set("gate")[-1:])


def test_every_family_has_a_case() -> None:
    assert {make().family for make in FAMILY_CASES.values()} == set(FAMILIES)


def test_components_give_what_their_contracts_say(model: SamModel) -> None:
    """In order and shape, from the picture to the masks; random weights keep them all within reason."""
    made: dict[str, torch.Tensor] = {}
    for part in components(model):
        named = dict(zip(part.contract.input_names, part.example_inputs, strict=True))
        with torch.inference_mode():
            outputs = part.module(*(made.get(name, value) for name, value in named.items()))
        outputs = (outputs,) if isinstance(outputs, torch.Tensor) else tuple(outputs)
        sizes = {"B": named.get("point_coords", torch.empty(1)).shape[0]}
        for spec, output in zip(part.contract.outputs, outputs, strict=True):
            assert list(output.shape) == [sizes.get(axis, axis) for axis in spec.shape], spec.name
            assert 1e-3 < float(output.abs().max()) < 1e3, spec.name
            made[spec.name] = output


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_a_family_exports_and_passes(model: SamModel, suite: Suite, tmp_path: Path, target: str) -> None:
    request = ExportRequest(model.variant.name, (target,), tmp_path)
    jobs = tuple(Job(target, precision) for precision in FLOATS_OF[target])
    names = {job: name_of(request, own) for own in by_bundle(jobs) for job in own}
    for outcome in export_model(model, jobs, suite, request):
        assert outcome.error is None, f"{outcome.job.label}: {outcome.error}"
        assert isinstance(outcome.verification, Passed)
        assert outcome.verification.measurement.parity is not None
        assert outcome.bundle == tmp_path / names[outcome.job]


@pytest.mark.slow
def test_no_picture_is_stored_in_the_image_encoder(model: SamModel) -> None:
    """A trace that makes zeros of a picture's shape stores them: 12.6 MB at 1024 px."""
    encoder = components(model)[0]
    graph, _ = build(encoder, "fp32")
    (image,) = encoder.contract.inputs
    stored = {name: tuple(value.shape or ()) for name, value in graph.graph.initializers.items()}
    assert image.shape not in stored.values()
