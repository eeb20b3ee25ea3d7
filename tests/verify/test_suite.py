from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sam_export.contract import PointLabel, StabilityFallback
from sam_export.errors import NotVerifiableError
from sam_export.models import SamModel
from sam_export.verify import pictures
from sam_export.verify.affordable import affordable
from sam_export.verify.metrics import coverage, stability_score
from sam_export.verify.pictures import picture_set
from sam_export.verify.prompt import Prompt, batched_feeds, chosen_index
from sam_export.verify.prompts import COVERAGE, STABILITY, bounding_box, deepest_point
from sam_export.verify.reference import TorchReference
from sam_export.verify.suite import Suite, build_suite


@pytest.fixture(scope="module")
def suite(tiny_sam: SamModel) -> Suite:
    return build_suite(tiny_sam, picture_set("gate")[9:11])


def test_a_suite_is_the_same_every_time(tiny_sam: SamModel, suite: Suite) -> None:
    again = build_suite(tiny_sam, picture_set("gate")[9:11])
    assert again.sha256 == suite.sha256
    assert [case.prompt.name for case in again.cases()] == [case.prompt.name for case in suite.cases()]
    for one, other in zip(again.cases(), suite.cases(), strict=True):
        np.testing.assert_array_equal(one.answer.low_res_masks, other.answer.low_res_masks)


def test_the_hash_knows_checkpoint_and_pictures(tiny_sam: SamModel, suite: Suite) -> None:
    pictures = picture_set("gate")[9:11]
    other = dataclasses.replace(tiny_sam, checkpoint_sha256="1" * 64)
    assert build_suite(other, pictures).sha256 != suite.sha256
    assert build_suite(tiny_sam, pictures[::-1]).sha256 != suite.sha256


def test_untrained_weights_have_parity_prompts_of_every_kind_and_label(suite: Suite) -> None:
    cases = list(suite.cases())
    assert {case.prompt.role for case in cases} == {"parity"}
    assert {label for case in cases for label in case.prompt.labels} == {PointLabel.BACKGROUND, PointLabel.FOREGROUND}
    assert {(case.prompt.box is not None, len(case.prompt.points)) for case in cases} >= {
        (True, 0),
        (True, 1),
        (False, 1),
        (False, 3),
    }
    assert {case.prompt.mask_input is not None for case in cases} == {True, False}


def test_weights_that_are_called_trained_and_have_no_stable_mask_are_refused(tiny_sam: SamModel) -> None:
    flat = pictures._picture("flat", "flat", np.full((40, 50, 3), 90, np.uint8))
    with pytest.raises(NotVerifiableError, match="none of the boxes drawn on 1 pictures has a stable mask"):
        build_suite(dataclasses.replace(tiny_sam, weights_trained=True), [flat])


@pytest.mark.parametrize(
    ("seconds", "taken"), [(1.0, 5), (9.9, 5), (12.0, 4), (25.0, 2), (1000.0, 2)], ids="{} s".format
)
def test_slow_models_are_measured_on_fewer_pictures_which_is_said(
    tiny_sam: SamModel, seconds: float, taken: int
) -> None:
    """Told by a clock of the test's own: between two looks at it, one picture was measured."""
    pictures = picture_set("gate")[9:14]
    ticks = iter((0.0, seconds))
    suite = build_suite(tiny_sam, pictures, fewer_if_slow=True, clock=lambda: next(ticks))
    assert [entry.picture.name for entry in suite.pictures] == [picture.name for picture in pictures[:taken]]
    said = [note for note in suite.notes if "pictures" in note]
    assert said == (
        [f"measured on {taken} of 5 pictures: the reference takes {seconds:.0f} s for one here"] if taken < 5 else []
    )


def test_a_users_pictures_are_all_measured(tiny_sam: SamModel) -> None:
    pictures = picture_set("gate")[9:12]
    ticks = iter((0.0, 1000.0))
    assert len(build_suite(tiny_sam, pictures, clock=lambda: next(ticks)).pictures) == 3


@pytest.mark.parametrize(("count", "taken"), [(1, 1), (2, 2), (21, 2)])
def test_never_more_pictures_than_there_are(count: int, taken: int) -> None:
    assert affordable(count, 500.0) == taken


def test_no_picture_is_refused(tiny_sam: SamModel) -> None:
    with pytest.raises(NotVerifiableError, match="no picture to measure on"):
        build_suite(tiny_sam, [])


def test_progress_counts_the_pictures(tiny_sam: SamModel) -> None:
    seen: list[tuple[str, int, int]] = []
    build_suite(tiny_sam, picture_set("gate")[9:10], progress=lambda *at: seen.append(at))
    assert seen == [("reference", 0, 1), ("reference", 1, 1)]


def test_answers_do_not_depend_on_their_batch(tiny_sam: SamModel, suite: Suite) -> None:
    reference, entry = TorchReference(tiny_sam), suite.pictures[0]
    encoded = reference.encode(entry.picture)
    for case in entry.cases:
        (alone,) = reference.answer(encoded, [case.prompt])
        np.testing.assert_allclose(alone.low_res_masks, case.answer.low_res_masks, atol=1e-4)
        assert alone.index == case.answer.index


def test_prompts_share_a_call_by_their_number_of_points(suite: Suite) -> None:
    entry = suite.pictures[0]
    prompts = [case.prompt for case in entry.cases]
    batches = batched_feeds(prompts, entry.prepared, suite.preprocessing, suite.mask_rule, largest=2)
    assert sorted(index for batch, _ in batches for index in batch) == list(range(len(prompts)))
    for batch, feeds in batches:
        assert len(batch) <= 2
        assert {len(value) for value in feeds.values()} == {len(batch)}
        given = [float(prompts[index].mask_input is not None) for index in batch]
        assert feeds["has_mask_input"].tolist() == given


def test_the_best_of_several_masks_is_chosen_for_a_click_only(suite: Suite) -> None:
    masks, ious = np.zeros((4, 2, 2), np.float32), np.array([0.9, 0.1, 0.3, 0.2], np.float32)
    click = Prompt("parity", "point", points=((1.0, 1.0),), labels=(1,), multimask=True)
    assert chosen_index(click, masks, ious, suite.mask_rule) == 2
    assert chosen_index(dataclasses.replace(click, multimask=False), masks, ious, suite.mask_rule) == 0
    single = dataclasses.replace(suite.mask_rule, multimask_tokens=())
    assert chosen_index(click, masks, ious, single) == 0
    unstable = dataclasses.replace(suite.mask_rule, stability_fallback=StabilityFallback(0.05, 0.98))
    assert chosen_index(dataclasses.replace(click, multimask=False), masks, ious, unstable) == 2


def test_geometry_of_masks() -> None:
    mask = np.zeros((20, 30), np.bool_)
    mask[4:11, 6:13] = True
    assert bounding_box(mask) == (6, 4, 13, 11)
    assert deepest_point(mask) == (9.5, 7.5)


@pytest.mark.slow
def test_stable_prompts_are_stable(lite_medsam: SamModel) -> None:
    entry = build_suite(lite_medsam, picture_set("gate")[10:11]).pictures[0]
    reference = TorchReference(lite_medsam)
    encoded = reference.encode(entry.picture)
    stable = [case for case in entry.cases if case.prompt.role == "stable"]
    assert len(stable) >= 3
    for case in stable:
        logits = reference.logits(encoded, case.answer)
        assert stability_score(logits, 0.0) >= STABILITY
        assert COVERAGE[0] <= coverage(logits > 0) <= COVERAGE[1]
