"""The gate on trained weights: what is wrong with an exported graph shows in its masks."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sam_export.contract import ComponentName, PointLabel, Session
from sam_export.exporters import export
from sam_export.models import SamModel, components
from sam_export.verification import Failed, Passed
from sam_export.verify.evaluators import evaluation_session
from sam_export.verify.gate import verify
from sam_export.verify.limits import limits_for
from sam_export.verify.pictures import picture_set
from sam_export.verify.suite import Suite, build_suite

from .wrong_session import Feeds, WrongSession

pytestmark = pytest.mark.slow
Sessions = dict[ComponentName, Session]


def onnx_sessions(model: SamModel, folder: Path) -> Sessions:
    graphs = [export(part, "onnx", "fp32", folder) for part in components(model)]
    return {graph.contract.component: evaluation_session(graph)[0] for graph in graphs}


@pytest.fixture(scope="module")
def suite(lite_medsam: SamModel) -> Suite:
    return build_suite(lite_medsam, picture_set("gate")[:2])


@pytest.fixture(scope="module")
def sessions(lite_medsam: SamModel, tmp_path_factory: pytest.TempPathFactory) -> Sessions:
    return onnx_sessions(lite_medsam, tmp_path_factory.mktemp("graphs"))


def test_an_exported_model_passes(sessions: Sessions, suite: Suite) -> None:
    verdict = verify(sessions, suite, limits_for("fp32"), evaluated_by="onnxruntime")
    assert isinstance(verdict, Passed), verdict
    assert verdict.measurement.stable is not None
    assert verdict.measurement.stable.count == suite.count("stable") >= 8
    assert verdict.measurement.harsh is not None
    assert verdict.measurement.harsh.count == 12


def test_one_perturbed_weight(lite_medsam: SamModel, suite: Suite, tmp_path: Path) -> None:
    module = copy.deepcopy(lite_medsam.module)
    module.get_parameter("image_encoder.layers.2.downsample.conv1.c.weight").data *= 1.1
    perturbed = SamModel(lite_medsam.variant, module, lite_medsam.checkpoint_sha256, weights_trained=True)
    verdict = verify(onnx_sessions(perturbed, tmp_path), suite, limits_for("fp16"), evaluated_by="onnxruntime")
    assert isinstance(verdict, Failed)
    assert verdict.reasons[0].startswith("mean mask IoU")


def swapped_axes(feeds: Feeds) -> Feeds:
    return {**feeds, "point_coords": np.ascontiguousarray(feeds["point_coords"][..., ::-1])}


def wrong_code(feeds: Feeds) -> Feeds:
    labels = feeds["point_labels"].copy()
    labels[labels == PointLabel.BOX_TOP_LEFT] = PointLabel.FOREGROUND
    return {**feeds, "point_labels": labels}


@pytest.mark.parametrize("change", [swapped_axes, wrong_code], ids=["swapped axes", "wrong label code"])
def test_wrong_prompts(sessions: Sessions, suite: Suite, change: Callable[[Feeds], Feeds]) -> None:
    wrong = {**sessions, "mask_decoder": WrongSession(sessions["mask_decoder"], feeds=change)}
    verdict = verify(wrong, suite, limits_for("w8"), evaluated_by="onnxruntime")
    assert isinstance(verdict, Failed)
    assert verdict.reasons[0].startswith("mean mask IoU")
