"""Reference and candidate against the ground truth: asked for every object, measured apart, and never gated."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from sam_export.models import SamModel
from sam_export.runtimes.selftest import mask_iou
from sam_export.verification import Failed, Passed, TruthScore
from sam_export.verify.gate import verify
from sam_export.verify.ground_truth import PictureTruth, as_object
from sam_export.verify.ground_truth_folder import evaluation_pictures
from sam_export.verify.ground_truth_scores import summarise_truth, truth_score
from sam_export.verify.limits import limits_for
from sam_export.verify.pictures import Picture, picture_set
from sam_export.verify.prompt import Prompt
from sam_export.verify.prompts import bounding_box, deepest_point
from sam_export.verify.reference import TorchReference
from sam_export.verify.report_suite import describe_suite
from sam_export.verify.suite import Suite, build_suite
from sam_export.verify.torch_session import torch_sessions

from .truth_folders import coins_and_cup, mask_png, picture, rectangles
from .wrong_session import Outputs, WrongSession

FP32 = limits_for("fp32")
HW = (48, 64)
SAME_BOX = rectangles((10, 5, 30, 25), hw=HW) > 0


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Picture, ...]:
    """Two objects on the first picture, one on the second, none on the third."""
    folder = tmp_path_factory.mktemp("pictures")
    for name, seed in (("a.png", 1), ("b.png", 2), ("c.png", 3)):
        picture(folder / name, HW, seed)
    mask_png(folder / "masks" / "a.png", rectangles((5, 5, 25, 35), (30, 5, 55, 40), hw=HW))
    mask_png(folder / "masks" / "b.png", rectangles((10, 8, 50, 44), hw=HW))
    return evaluation_pictures(folder)


@pytest.fixture(scope="module")
def suite(tiny_sam: SamModel, pictures: tuple[Picture, ...]) -> Suite:
    return build_suite(tiny_sam, pictures)


def truth_prompts(suite: Suite) -> list[Prompt]:
    return [case.prompt for case in suite.cases() if case.prompt.role == "truth"]


def test_every_object_is_asked_for_by_box_and_point(suite: Suite) -> None:
    prompts = truth_prompts(suite)
    assert [prompt.kind for prompt in prompts] == ["truth box"] * 2 + ["truth point"] * 2 + ["truth box", "truth point"]
    for prompt in prompts:
        assert prompt.truth is not None
        mask = prompt.truth.mask()
        if prompt.kind == "truth box":
            assert (prompt.box, prompt.points) == (bounding_box(mask), ())
        else:
            assert (prompt.box, prompt.points, prompt.labels) == (None, (deepest_point(mask),), (1,))
            assert prompt.multimask


def test_a_model_of_boxes_is_asked_by_boxes(tiny_sam: SamModel, pictures: tuple[Picture, ...]) -> None:
    rule = dataclasses.replace(tiny_sam.variant.mask_rule, prompts=("box",))
    boxes_only = dataclasses.replace(tiny_sam, variant=dataclasses.replace(tiny_sam.variant, mask_rule=rule))
    assert {prompt.kind for prompt in truth_prompts(build_suite(boxes_only, pictures[:1]))} == {"truth box"}


def with_objects(base: Picture, *masks: np.ndarray) -> Picture:
    objects = tuple(as_object(f"object {index}", mask) for index, mask in enumerate(masks))
    return dataclasses.replace(base, truth=PictureTruth(objects, len(objects)))


def test_objects_of_one_box_are_told_apart(tiny_sam: SamModel, pictures: tuple[Picture, ...]) -> None:
    hollow = SAME_BOX.copy()
    hollow[10:20, 15:25] = False
    suite = build_suite(tiny_sam, [with_objects(pictures[0], SAME_BOX, hollow)])
    names = [prompt.name for prompt in truth_prompts(suite)]
    assert len(set(names)) == len(names) == 4


def test_the_hash_knows_the_ground_truth(tiny_sam: SamModel, pictures: tuple[Picture, ...]) -> None:
    plain = dataclasses.replace(pictures[0], truth=None)
    corner = SAME_BOX.copy()
    corner[12, 12] = False  # the same box and name
    hashes = [
        build_suite(tiny_sam, [one]).sha256
        for one in (plain, with_objects(plain, SAME_BOX), with_objects(plain, corner), with_objects(plain))
    ]
    assert len(set(hashes)) == 3
    assert hashes[3] == hashes[0]
    assert build_suite(tiny_sam, [with_objects(plain, SAME_BOX)]).sha256 == hashes[1]


def test_other_prompts_are_drawn_as_without(tiny_sam: SamModel, suite: Suite, pictures: tuple[Picture, ...]) -> None:
    plain = build_suite(tiny_sam, [dataclasses.replace(one, truth=None) for one in pictures])
    others = [case.prompt.name for case in suite.cases() if case.prompt.role != "truth"]
    assert [case.prompt.name for case in plain.cases()] == others


def test_the_notes_say_how_much_was_measured(tiny_sam: SamModel, suite: Suite) -> None:
    assert suite.notes[-1].startswith("ground truth: 3 of 3 objects asked for, on 2 of 3 pictures (at most 16")
    assert not any("ground truth" in note for note in build_suite(tiny_sam, picture_set("gate")[:1]).notes)


def test_the_reference_is_measured_against_the_outline(tiny_sam: SamModel, suite: Suite) -> None:
    found = verify(torch_sessions(tiny_sam), suite, FP32, evaluated_by="torch").measurement
    reference = TorchReference(tiny_sam)
    expected = []
    for entry in suite.pictures:
        encoded = reference.encode(entry.picture)
        for case in entry.cases:
            if case.prompt.truth is not None:
                mask = reference.logits(encoded, case.answer) > suite.mask_rule.threshold
                expected.append(mask_iou(case.prompt.truth.mask(), mask))
    assert [score.reference_iou for score in found.truth_scores] == expected
    assert [score.candidate_iou for score in found.truth_scores] == pytest.approx(expected, abs=1e-6)
    assert [(one.kind, one.count, one.pictures) for one in found.truth] == [("truth box", 3, 2), ("truth point", 3, 2)]
    boxes = [score.reference_iou for score in found.truth_scores if score.kind == "truth box"]
    assert found.truth[0].reference_miou == pytest.approx(np.mean(boxes))
    assert found.truth[0].loss_points == pytest.approx(0, abs=1e-3)


def test_a_wrong_candidate_loses_points(tiny_sam: SamModel, suite: Suite) -> None:
    def empty(outputs: Outputs) -> Outputs:
        return {**outputs, "low_res_masks": outputs["low_res_masks"] * 0 - 1}

    sessions = torch_sessions(tiny_sam)
    sessions["mask_decoder"] = WrongSession(sessions["mask_decoder"], outputs=empty)
    verdict = verify(sessions, suite, FP32, evaluated_by="torch")
    assert isinstance(verdict, Failed)
    for one in verdict.measurement.truth:
        assert one.candidate_miou == 0
        assert one.loss_points == pytest.approx(100 * one.reference_miou)
        assert one.loss_points > 0


def test_the_candidate_is_measured_by_its_own_choice(tiny_sam: SamModel, suite: Suite) -> None:
    """The masks are right and the predictions in another order: a user gets another mask of a click, not of a box."""

    def reordered(outputs: Outputs) -> Outputs:
        return {**outputs, "iou_predictions": np.roll(outputs["iou_predictions"], 1, axis=1)}

    sessions = torch_sessions(tiny_sam)
    sessions["mask_decoder"] = WrongSession(sessions["mask_decoder"], outputs=reordered)
    found = verify(sessions, suite, FP32, evaluated_by="torch").measurement
    for score in found.truth_scores:
        same = abs(score.loss_points) < 1e-3
        assert same == (score.kind == "truth box"), score


def test_the_ground_truth_gates_nothing(tiny_sam: SamModel, suite: Suite) -> None:
    """A candidate that passes does so however bad both are at the objects; the random model is."""
    verdict = verify(torch_sessions(tiny_sam), suite, FP32, evaluated_by="torch")
    assert isinstance(verdict, Passed)
    assert verdict.measurement.truth[0].reference_miou < 0.9


def test_the_report_has_a_role_for_every_kind(suite: Suite) -> None:
    kinds = {kind.name: (kind.role, kind.count) for kind in describe_suite(suite).kinds}
    assert kinds["truth box"] == ("truth", 3)
    assert kinds["truth point"] == ("truth", 3)


def test_scores_and_their_summary() -> None:
    exact = np.zeros((10, 10), np.bool_)
    exact[:4] = True
    truth = as_object("x", exact)
    prompt = Prompt("truth", "truth box", (0.0, 0.0, 10.0, 4.0), truth=truth)
    score = truth_score("a.png", prompt, truth, exact, exact & (np.arange(10) < 9))
    assert score == TruthScore("a.png", "truth box 0,0,10,4 (x)", "truth box", 1.0, 0.9)
    assert score.loss_points == pytest.approx(10)
    better = dataclasses.replace(score, picture="b.png", reference_iou=0.5, candidate_iou=0.6)
    (summary,) = summarise_truth([better, score])
    assert (summary.count, summary.pictures, summary.worst_picture) == (2, 2, "a.png")
    assert summary.reference_miou == pytest.approx(0.75)
    assert summary.candidate_miou == pytest.approx(0.75)
    assert summary.loss_points == pytest.approx(0)
    assert summary.worst_loss_points == pytest.approx(10)
    assert summarise_truth([]) == ()


@pytest.mark.slow
def test_trained_weights_find_the_coins(lite_medsam: SamModel, tmp_path: Path) -> None:
    count = coins_and_cup(tmp_path)
    suite = build_suite(lite_medsam, evaluation_pictures(tmp_path))
    sessions = torch_sessions(lite_medsam)
    exact = verify(sessions, suite, FP32, evaluated_by="torch").measurement
    (truth,) = exact.truth
    assert (truth.kind, truth.count, truth.pictures) == ("truth box", sum(count.values()), 2)
    assert truth.reference_miou > 0.75
    assert abs(truth.loss_points) < 0.05

    def shifted(outputs: Outputs) -> Outputs:
        return {**outputs, "low_res_masks": np.roll(outputs["low_res_masks"], 6, axis=3)}

    sessions["mask_decoder"] = WrongSession(sessions["mask_decoder"], outputs=shifted)
    (worse,) = verify(sessions, suite, FP32, evaluated_by="torch").measurement.truth
    assert worse.reference_miou == truth.reference_miou
    assert worse.loss_points > 5
