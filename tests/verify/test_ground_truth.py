"""Which outlined objects are measured, and that their masks survive being packed."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from sam_export.verify.ground_truth import LEAST_COVERAGE, MOST_OBJECTS, as_object, choose, decompressed, measured


def test_a_packed_mask_is_the_same_mask() -> None:
    rng = np.random.default_rng(5)
    for _ in range(50):
        mask = rng.random(rng.integers(1, 40, 2)) < rng.random()
        packed = as_object("x", mask)
        np.testing.assert_array_equal(packed.mask(), mask)
        assert packed.area == mask.sum()


def test_the_hash_knows_size_and_pixels() -> None:
    mask = np.zeros((4, 6), np.bool_)
    assert as_object("x", mask).sha256 == as_object("y", mask).sha256
    assert as_object("x", mask).sha256 != as_object("x", mask.T).sha256
    assert as_object("x", mask).sha256 != as_object("x", ~mask).sha256


@pytest.mark.parametrize("text", ["0~", "\x00", "0ä", "P", "o" * 20], ids=ascii)
def test_broken_runs_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"its RLE is (broken|cut short) after"):
        decompressed(text)


def test_runs_are_those_of_pycocotools() -> None:
    runs = [0, 3, 4000, 1, 2, 70, 1, 19]
    height, width = 1, sum(runs)
    packed = coco_mask.frPyObjects({"size": [height, width], "counts": runs}, height, width)
    assert decompressed(packed["counts"].decode()) == runs


def test_tiny_objects_are_left_out() -> None:
    hw = (1000, 1000)
    least = round(LEAST_COVERAGE * 1e6)
    assert choose({"dot": least - 1, "spot": least, "blob": 5000}, hw) == ("blob", "spot")
    assert choose({"nothing": 0}, (10, 10)) == ()


def test_many_objects_are_sampled_from_the_largest_to_the_smallest() -> None:
    areas = {f"{area:03}": area for area in range(100, 200)}
    chosen = choose(areas, (100, 100))
    assert len(set(chosen)) == MOST_OBJECTS
    assert (chosen[0], chosen[-1]) == ("199", "100")
    assert np.abs(np.diff(np.diff([int(name) for name in chosen]))).max() <= 1
    assert choose(dict(reversed(areas.items())), (100, 100)) == chosen


def test_all_are_counted_and_few_measured() -> None:
    masks = [np.zeros((50, 50), np.bool_) for _ in range(MOST_OBJECTS + 5)]
    for index, mask in enumerate(masks):
        mask[: index + 1, :10] = True
    truth = measured([as_object(str(index), mask) for index, mask in enumerate(masks)], (50, 50))
    assert truth.found == MOST_OBJECTS + 5
    assert len(truth.objects) == MOST_OBJECTS
    assert [one.area for one in truth.objects] == sorted((one.area for one in truth.objects), reverse=True)
