"""The gate passes what computes the model, and fails everything else, however small the mistake."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch

from sam_export.contract import Array, PointLabel
from sam_export.errors import ContractError, ConversionError
from sam_export.models import SamModel
from sam_export.verification import Failed, Passed
from sam_export.verify.gate import scored_cases, summarise, verify
from sam_export.verify.limits import limits_for
from sam_export.verify.pictures import picture_set
from sam_export.verify.suite import Suite, build_suite
from sam_export.verify.torch_session import torch_sessions

from .wrong_session import Feeds, Outputs, WrongSession

FP32 = limits_for("fp32")


@pytest.fixture(scope="module")
def suite(tiny_sam: SamModel) -> Suite:
    return build_suite(tiny_sam, [picture_set("gate")[index] for index in (0, 3, 5)])


def replaced(feeds: Feeds, name: str, change: Callable[[Array], Array]) -> Feeds:
    return {**feeds, name: change(feeds[name].copy())}


def relabel(old: PointLabel, new: PointLabel) -> Callable[[Feeds], Feeds]:
    def change(labels: Array) -> Array:
        labels[labels == old] = new
        return labels

    return lambda feeds: replaced(feeds, "point_labels", change)


WRONG_FEEDS: dict[str, Callable[[Feeds], Feeds]] = {
    "axes swapped": lambda feeds: replaced(feeds, "point_coords", lambda coords: coords[..., ::-1]),
    "half a pixel off": lambda feeds: replaced(feeds, "point_coords", lambda coords: coords + 0.5),
    "mask ignored": lambda feeds: replaced(feeds, "has_mask_input", np.zeros_like),
    "mask assumed": lambda feeds: replaced(feeds, "has_mask_input", np.ones_like),
    "foreground as background": relabel(PointLabel.FOREGROUND, PointLabel.BACKGROUND),
    "padding as background": relabel(PointLabel.PADDING, PointLabel.BACKGROUND),
    "corners alike": relabel(PointLabel.BOX_BOTTOM_RIGHT, PointLabel.BOX_TOP_LEFT),
}


def first_of_batch(outputs: Outputs) -> Outputs:
    return {name: np.repeat(value[:1], len(value), axis=0) for name, value in outputs.items()}


WRONG_OUTPUTS: dict[str, Callable[[Outputs], Outputs]] = {
    "zeros": lambda outputs: {name: np.zeros_like(value) for name, value in outputs.items()},
    "nan": lambda outputs: {name: np.full_like(value, np.nan) for name, value in outputs.items()},
    "one nan": lambda outputs: replaced_one(outputs, np.nan),
    "one infinity": lambda outputs: replaced_one(outputs, np.inf),
    "masks in another order": lambda outputs: {
        **outputs,
        "low_res_masks": np.roll(outputs["low_res_masks"], 1, axis=1),
    },
    "predictions in another order": lambda outputs: {
        **outputs,
        "iou_predictions": np.roll(outputs["iou_predictions"], 1, axis=1),
    },
    "predictions of zero": lambda outputs: {**outputs, "iou_predictions": np.zeros_like(outputs["iou_predictions"])},
    "masks transposed": lambda outputs: {**outputs, "low_res_masks": outputs["low_res_masks"].swapaxes(2, 3)},
    "first prompt for all": first_of_batch,
}


def replaced_one(outputs: Outputs, value: float) -> Outputs:
    masks = outputs["low_res_masks"].copy()
    masks[-1, 0, 3, 3] = value
    return {**outputs, "low_res_masks": masks}


def test_the_model_itself_passes(tiny_sam: SamModel, suite: Suite) -> None:
    verdict = verify(torch_sessions(tiny_sam), suite, FP32, evaluated_by="torch")
    assert isinstance(verdict, Passed), verdict
    found = verdict.measurement
    assert len(found.prompts) == sum(1 for _ in suite.cases())
    assert found.stable is None
    assert found.parity is not None
    assert found.parity.min_logit_snr_db > 90
    assert found.parity.index_agreement == 1
    assert min(score.snr_db for score in found.tensors) > 90
    assert found.suite_sha256 == suite.sha256


@pytest.mark.parametrize("name", WRONG_FEEDS)
def test_wrong_feeds_fail(tiny_sam: SamModel, suite: Suite, name: str) -> None:
    sessions = torch_sessions(tiny_sam)
    sessions["mask_decoder"] = WrongSession(sessions["mask_decoder"], feeds=WRONG_FEEDS[name])
    verdict = verify(sessions, suite, FP32, evaluated_by="torch")
    assert isinstance(verdict, Failed)
    assert "logit SNR" in verdict.reasons[0]


@pytest.mark.parametrize("name", WRONG_OUTPUTS)
def test_wrong_outputs_fail(tiny_sam: SamModel, suite: Suite, name: str) -> None:
    sessions = torch_sessions(tiny_sam)
    sessions["mask_decoder"] = WrongSession(sessions["mask_decoder"], outputs=WRONG_OUTPUTS[name])
    verdict = verify(sessions, suite, FP32, evaluated_by="torch")
    assert isinstance(verdict, Failed)
    if name in ("nan", "one nan", "one infinity"):
        assert "NaN or infinity" in verdict.reasons[0]


def test_zero_embeddings_fail(tiny_sam: SamModel, suite: Suite) -> None:
    sessions = torch_sessions(tiny_sam)
    sessions["image_encoder"] = WrongSession(sessions["image_encoder"], outputs=WRONG_OUTPUTS["zeros"])
    assert isinstance(verify(sessions, suite, FP32, evaluated_by="torch"), Failed)


def test_red_and_blue_swapped_fail(tiny_sam: SamModel, suite: Suite) -> None:
    sessions = torch_sessions(tiny_sam)
    sessions["image_encoder"] = WrongSession(
        sessions["image_encoder"], feeds=lambda feeds: replaced(feeds, "image", lambda image: image[:, ::-1])
    )
    colourful = dataclasses.replace(suite, pictures=suite.pictures[:1])
    assert isinstance(verify(sessions, colourful, FP32, evaluated_by="torch"), Failed)


@pytest.mark.parametrize(
    "weight", ["image_encoder.layers.1.blocks.0.mlp.fc1.weight", "mask_decoder.output_upscaling.0.weight"]
)
def test_one_perturbed_weight_fails(tiny_sam: SamModel, suite: Suite, weight: str) -> None:
    module = copy.deepcopy(tiny_sam.module)
    with torch.no_grad():
        module.get_parameter(weight).view(-1)[0] += 1.0
    sessions = torch_sessions(dataclasses.replace(tiny_sam, module=module))
    assert isinstance(verify(sessions, suite, FP32, evaluated_by="torch"), Failed)


def test_a_missing_output_is_a_contract_error(tiny_sam: SamModel, suite: Suite) -> None:
    sessions = torch_sessions(tiny_sam)
    sessions["mask_decoder"] = WrongSession(
        sessions["mask_decoder"], outputs=lambda outputs: {"low_res_masks": outputs["low_res_masks"]}
    )
    with pytest.raises(ContractError, match="'iou_predictions' is missing"):
        verify(sessions, suite, FP32, evaluated_by="torch")


def test_an_engine_that_fails_is_a_conversion_error(tiny_sam: SamModel, suite: Suite) -> None:
    def stop(feeds: Feeds) -> Feeds:
        raise RuntimeError("no kernel\nfor this op")

    sessions = torch_sessions(tiny_sam)
    sessions["mask_decoder"] = WrongSession(sessions["mask_decoder"], feeds=stop)
    with pytest.raises(ConversionError, match=r"mask_decoder on pytorch: failed on picture .*no kernel for this op"):
        verify(sessions, suite, FP32, evaluated_by="torch")


def test_progress_counts_the_pictures(tiny_sam: SamModel, suite: Suite) -> None:
    seen: list[tuple[str, int, int]] = []
    verify(torch_sessions(tiny_sam), suite, FP32, evaluated_by="torch", progress=lambda *at: seen.append(at))
    assert seen == [("verify", done, 3) for done in range(4)]


def test_summary_names_the_worst_case(tiny_sam: SamModel, suite: Suite) -> None:
    found = verify(torch_sessions(tiny_sam), suite, FP32, evaluated_by="torch").measurement
    scores = [dataclasses.replace(score, mask_iou=0.9) for score in found.prompts]
    scores[3] = dataclasses.replace(scores[3], mask_iou=0.4)
    summary = summarise(scores)
    assert summary is not None
    assert (summary.worst_iou, summary.worst_picture, summary.worst_prompt) == (
        0.4,
        scores[3].picture,
        scores[3].prompt,
    )
    assert summarise([]) is None


def test_every_score_leads_back_to_its_case(tiny_sam: SamModel, suite: Suite) -> None:
    found = verify(torch_sessions(tiny_sam), suite, FP32, evaluated_by="torch").measurement
    names = [(entry.picture.name, case.prompt.name) for entry, case, _ in scored_cases(suite, found.prompts)]
    assert names == [(score.picture, score.prompt) for score in found.prompts]
    assert len(set(names)) == len(names)
