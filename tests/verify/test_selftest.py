from __future__ import annotations

import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from sam_export.errors import AccuracyError, SelfTestError
from sam_export.models import SamModel
from sam_export.runtimes import Segmenter
from sam_export.runtimes.selftest import ExpectedMask, SelfTestSuite, run_selftest
from sam_export.verify.pictures import picture_set
from sam_export.verify.selftest import LONGEST_SIDE, BundleSelfTest, agreed, build_selftest, find_cases, selftest_of
from sam_export.verify.suite import Suite, build_suite
from sam_export.verify.torch_session import torch_sessions

from .test_gate import WRONG_FEEDS, WRONG_OUTPUTS
from .wrong_session import WrongSession


@pytest.fixture(scope="module")
def suite(tiny_sam: SamModel) -> Suite:
    return build_suite(tiny_sam, picture_set("gate")[4:10])


@pytest.fixture(scope="module")
def built(tiny_sam: SamModel, suite: Suite) -> BundleSelfTest:
    return build_selftest(torch_sessions(tiny_sam), suite)


def decoded(built: BundleSelfTest) -> SelfTestSuite:
    def pixels(path: str) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(built.files[path])))

    cases = tuple(ExpectedMask(case, pixels(case.mask.path) > 127) for case in built.selftest.cases)
    return SelfTestSuite("test", pixels(built.selftest.picture.path), built.selftest.min_iou, cases)


def test_files_are_those_of_the_manifest(built: BundleSelfTest) -> None:
    entries = [built.selftest.picture, *(case.mask for case in built.selftest.cases)]
    assert {entry.path for entry in entries} == set(built.files)
    for entry in entries:
        assert entry.sha256 == hashlib.sha256(built.files[entry.path]).hexdigest()
        assert entry.bytes == len(built.files[entry.path])


def test_it_is_small_and_its_masks_are_not_empty(built: BundleSelfTest) -> None:
    suite = decoded(built)
    assert max(suite.picture.shape[:2]) <= LONGEST_SIDE
    assert 1 <= len(suite.cases) <= 3
    for case in suite.cases:
        assert case.mask.shape == suite.picture.shape[:2]
        assert 0 < case.mask.mean() < 1


def test_the_same_graphs_pass_it(tiny_sam: SamModel, suite: Suite, built: BundleSelfTest) -> None:
    segmenter = Segmenter(dict(torch_sessions(tiny_sam)), suite.preprocessing, suite.mask_rule)
    assert [result.iou for result in run_selftest(segmenter, decoded(built))] == [1.0] * len(built.selftest.cases)


@pytest.mark.parametrize("outputs", [WRONG_OUTPUTS["zeros"], WRONG_OUTPUTS["masks transposed"]])
def test_other_masks_do_not(tiny_sam: SamModel, suite: Suite, built: BundleSelfTest, outputs) -> None:
    sessions = torch_sessions(tiny_sam)
    sessions["mask_decoder"] = WrongSession(sessions["mask_decoder"], outputs=outputs)
    with pytest.raises(SelfTestError, match=r"minimum 0\.970"):
        run_selftest(Segmenter(dict(sessions), suite.preprocessing, suite.mask_rule), decoded(built))


def test_swapped_axes_do_not(tiny_sam: SamModel, suite: Suite, built: BundleSelfTest) -> None:
    sessions = torch_sessions(tiny_sam)
    sessions["mask_decoder"] = WrongSession(sessions["mask_decoder"], feeds=WRONG_FEEDS["axes swapped"])
    with pytest.raises(SelfTestError, match=r"minimum 0\.970"):
        run_selftest(Segmenter(dict(sessions), suite.preprocessing, suite.mask_rule), decoded(built))


def test_graphs_that_give_only_empty_masks_have_none(tiny_sam: SamModel, suite: Suite) -> None:
    sessions = torch_sessions(tiny_sam)
    sessions["mask_decoder"] = WrongSession(sessions["mask_decoder"], outputs=WRONG_OUTPUTS["zeros"])
    with pytest.raises(AccuracyError, match="no mask for the self-test"):
        build_selftest(sessions, suite)


def test_variants_keep_the_cases_that_they_agree_on(tiny_sam: SamModel, suite: Suite) -> None:
    sessions = torch_sessions(tiny_sam)
    found = find_cases(sessions, suite, most=9)
    assert agreed(found, sessions, suite).cases == found.cases
    assert len(selftest_of(found, suite).selftest.cases) == min(3, len(found.cases))
    other = {**sessions, "mask_decoder": WrongSession(sessions["mask_decoder"], feeds=WRONG_FEEDS["axes swapped"])}
    left = agreed(found, other, suite)
    assert left.cases == ()
    with pytest.raises(AccuracyError, match="agree on no mask"):
        selftest_of(left, suite)
