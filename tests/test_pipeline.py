"""From a model to bundles: every target and precision, and what happens when one is not good enough."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest

from sam_export import open_bundle
from sam_export.errors import AccuracyError, OutputError, RequestError, UnsupportedError
from sam_export.exporters import TARGETS
from sam_export.jobs import ExportRequest, Job, plan
from sam_export.manifest import read_manifest
from sam_export.models import VARIANTS, SamModel
from sam_export.pipeline import export_model
from sam_export.quantize.recipes import fast_float
from sam_export.verification import Failed, Passed
from sam_export.verify.pictures import Picture, picture_set
from sam_export.verify.suite import Suite, build_suite

pytestmark = pytest.mark.slow

PICTURES = 2
PAIRS = [(name, precision) for name, target in TARGETS.items() for precision in target.precisions]


@pytest.fixture(scope="module")
def pictures() -> tuple[Picture, ...]:
    return picture_set("gate")[:PICTURES]


@pytest.fixture(scope="module")
def suite(tiny_sam: SamModel, pictures: tuple[Picture, ...]) -> Suite:
    return build_suite(tiny_sam, pictures)


def request(out: Path, **changes: object) -> ExportRequest:
    return ExportRequest(**{"model": "lite_medsam", "targets": ("onnx",), "out": out, **changes})


@pytest.mark.parametrize(("target", "precision"), PAIRS)
def test_a_bundle_of_every_kind(tiny_sam: SamModel, suite: Suite, tmp_path: Path, target: str, precision: str) -> None:
    if precision == "bf16" and fast_float() != "bf16":
        pytest.skip("this CPU has no bf16")
    (outcome,) = export_model(tiny_sam, (Job(target, precision),), suite, request(tmp_path))
    assert outcome.error is None
    assert isinstance(outcome.verification, Passed)
    assert outcome.bundle == tmp_path / f"tiny_sam-{target}-{precision}"
    manifest = read_manifest(outcome.bundle)
    assert manifest.variants[0].accuracy.suite_sha256 == suite.sha256
    assert manifest.variants[0].bytes == outcome.bytes
    assert not manifest.variants[0].accuracy.weights_trained
    assert "</html>" in (outcome.bundle / "report.html").read_text()


@pytest.mark.parametrize("target", ["onnx", "openvino"])
def test_a_bundle_runs(
    tiny_sam: SamModel, suite: Suite, pictures: tuple[Picture, ...], tmp_path: Path, target: str
) -> None:
    (outcome,) = export_model(tiny_sam, (Job(target, "fp32"),), suite, request(tmp_path))
    assert outcome.bundle is not None
    segmenter = open_bundle(outcome.bundle)
    assert all(result.iou >= result.min_iou for result in segmenter.selftest())
    segmenter.set_image(pictures[0].image)
    masks, iou_predictions, low_res_masks = segmenter.predict(box=[10, 10, 200, 200])
    assert masks.shape == (3, *pictures[0].image.shape[:2])
    assert masks.dtype == np.bool_
    assert iou_predictions.shape == (3,)
    assert low_res_masks.shape == (3, 64, 64)


def test_another_model_is_not_written(tiny_sam: SamModel, suite: Suite, tmp_path: Path) -> None:
    """One weight of the mask decoder is perturbed after the reference answered."""
    module = copy.deepcopy(tiny_sam.module)
    module.get_parameter("mask_decoder.mask_tokens.weight").data[0] += 1.0
    perturbed = SamModel(tiny_sam.variant, module, tiny_sam.checkpoint_sha256, tiny_sam.weights_trained)
    good, bad = Job("onnx", "fp32"), Job("openvino", "fp32")
    outcomes = export_model(perturbed, (good, bad), suite, request(tmp_path))
    for outcome in outcomes:
        assert isinstance(outcome.verification, Failed)
        assert isinstance(outcome.error, AccuracyError)
        assert "minimum" in str(outcome.error)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"model": "sam_vit_z"}, RequestError, "lite_medsam"),
        ({"targets": ("onxx",)}, UnsupportedError, "onnx, openvino, coreml"),
        ({"targets": ()}, RequestError, "--target"),
        ({"precisions": ("fp8",)}, UnsupportedError, "fp32, fp16"),
        ({"min_iou": 1.5}, RequestError, "at most 1"),
    ],
    ids=["model", "target", "no target", "precision", "min-iou"],
)
def test_a_wrong_request_does_no_work(tmp_path: Path, changes: dict[str, object], error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        plan(request(tmp_path, **changes))


def test_a_licence_with_terms_is_accepted_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = dataclasses.replace(VARIANTS["lite_medsam"], license_terms="no commercial use")
    monkeypatch.setitem(VARIANTS, "lite_medsam", row)
    for weights in ({}, {"checkpoint": tmp_path / "own.pth"}):
        with pytest.raises(RequestError, match="no commercial use; read it and give --accept-license"):
            plan(request(tmp_path, **weights))
        assert plan(request(tmp_path, license_accepted=True, **weights))
    assert plan(request(tmp_path, random_seed=0))


def test_the_bundle_carries_the_terms_and_what_was_not_verified(
    tiny_sam: SamModel, suite: Suite, tmp_path: Path
) -> None:
    row = dataclasses.replace(tiny_sam.variant, license_terms="no commercial use", verified_against=None)
    model = dataclasses.replace(tiny_sam, variant=row, seed=None)
    (outcome,) = export_model(model, (Job("onnx", "fp32"),), suite, request(tmp_path))
    assert outcome.bundle is not None
    manifest = read_manifest(outcome.bundle)
    assert manifest.model.license == "Apache-2.0: no commercial use"
    (note,) = (note for note in manifest.variants[0].accuracy.notes if "independent" in note)
    assert note == "tiny_vit_sam: not checked against an independent implementation"


def test_an_existing_bundle_is_found_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "lite_medsam-onnx-fp32").mkdir()
    with pytest.raises(OutputError, match="--overwrite"):
        plan(request(tmp_path))
    assert plan(request(tmp_path, overwrite=True)) == (Job("onnx", "fp32"),)


def test_targets_have_their_own_default_precision(tmp_path: Path) -> None:
    jobs = plan(request(tmp_path, targets=("onnx", "coreml", "onnx")))
    assert jobs == (Job("onnx", "fp32"), Job("coreml", "fp16"))


def test_precisions_of_a_web_request_are_variants_of_one_bundle(
    tiny_sam: SamModel, suite: Suite, tmp_path: Path
) -> None:
    jobs = (Job("web", "fp32"), Job("web", "fp16"), Job("onnx", "fp32"))
    outcomes = export_model(tiny_sam, jobs, suite, request(tmp_path, compress=True))
    assert [outcome.error for outcome in outcomes] == [None] * 3
    assert [outcome.job for outcome in outcomes] == list(jobs)
    bundle = tmp_path / "tiny_sam-web"
    assert [outcome.bundle for outcome in outcomes] == [bundle, bundle, tmp_path / "tiny_sam-onnx-fp32"]
    manifest = read_manifest(bundle)
    assert manifest.precision == "fp16, fp32"
    assert [(variant.name, variant.devices) for variant in manifest.variants] == [
        ("fp16", ("webgpu",)),
        ("fp32", ("wasm", "webgpu")),
    ]
    for variant in manifest.variants:
        for graph in variant.graphs.values():
            assert graph.brotli_bytes == (bundle / f"{graph.open_path}.br").stat().st_size
    assert "in brotli" in (bundle / "report.html").read_text()
    for name in ("fp16", "fp32"):
        assert all(result.iou >= result.min_iou for result in open_bundle(bundle, variant=name).selftest())
    with pytest.raises(RequestError, match="fp16, fp32"):
        open_bundle(bundle)


def test_one_variant_that_fails_leaves_no_bundle(tiny_sam: SamModel, suite: Suite, tmp_path: Path) -> None:
    failing = request(tmp_path, min_iou=1.0)
    trained = dataclasses.replace(suite, weights_trained=True)
    outcomes = export_model(tiny_sam, (Job("web", "fp32"), Job("web", "fp16")), trained, failing)
    assert any(isinstance(outcome.error, AccuracyError) for outcome in outcomes)
    assert all(outcome.bundle is None for outcome in outcomes)
    assert not list(tmp_path.iterdir())


def test_a_web_request_without_precisions_is_for_all_devices(tmp_path: Path) -> None:
    assert plan(request(tmp_path, targets=("web",))) == tuple(Job("web", name) for name in ("fp32", "fp16", "int8"))
    (tmp_path / "lite_medsam-web").mkdir()
    with pytest.raises(OutputError, match="lite_medsam-web exists already"):
        plan(request(tmp_path, targets=("web",)))
    assert plan(request(tmp_path, targets=("web",), precisions=("int8",)))
