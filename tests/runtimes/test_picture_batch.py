"""Several pictures at once, and more prompts than go through the decoder together."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sam_export.contract import Array, EngineReport, Session
from sam_export.errors import ImageError, RequestError
from sam_export.runtimes import Segmenter, picture_model

from . import geometric_model as model

SIZES = ((60, 100), (150, 37), (9, 9))


def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(4)
    return [rng.integers(0, 256, (*size, 3), np.uint8) for size in SIZES]


def boxes_in(size: tuple[int, int], count: int) -> np.ndarray:
    corners = np.sort(np.random.default_rng(count).uniform(0, 1, (count, 2, 2)), axis=1) + np.array(
        [[0, 0], [0.05, 0.05]]
    )
    return (corners / 1.05 * (size[1], size[0])).reshape(count, 4)


def same(one: picture_model.Prediction, other: picture_model.Prediction) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_each_picture_answers_as_if_alone(segmenter: Segmenter) -> None:
    boxes = [boxes_in(size, count) for count, size in enumerate(SIZES, start=1)]
    segmenter.set_image_batch(pictures())
    assert segmenter.is_image_set
    together = segmenter.predict_image_batch(boxes=boxes)
    for image, given, found in zip(pictures(), boxes, together, strict=True):
        segmenter.set_image(image)
        assert found.masks.shape == (len(given), 3, *image.shape[:2])
        assert same(found, segmenter.predict_batch(boxes=given))


def test_one_picture_is_a_batch_too(segmenter: Segmenter) -> None:
    segmenter.set_image_batch(pictures()[:1])
    (found,) = segmenter.predict_image_batch([[[[5, 5]]]], [[[1]]], multimask_output=False)
    assert same(found, segmenter.predict_batch([[[5, 5]]], [[1]], multimask_output=False))


def test_several_pictures_have_no_current_one(segmenter: Segmenter) -> None:
    segmenter.set_image_batch(pictures())
    with pytest.raises(RequestError, match="3 pictures are set; call predict_image_batch"):
        segmenter.predict(box=(0, 0, 5, 5))
    segmenter.reset_image()
    assert not segmenter.is_image_set
    with pytest.raises(RequestError, match="call set_image_batch first"):
        segmenter.predict_image_batch(boxes=[[[0, 0, 5, 5]]])


def test_bad_pictures_leave_none(segmenter: Segmenter) -> None:
    segmenter.set_image(pictures()[0])
    for bad, error, text in (
        ([*pictures(), pictures()[0][..., 0]], ImageError, "picture 3: image: given uint8"),
        ([], RequestError, "an empty list"),
        (pictures()[0], RequestError, "given a ndarray; give a list of pictures"),
        ("picture.png", RequestError, "given a str"),
    ):
        with pytest.raises(error, match=text):
            segmenter.set_image_batch(bad)
        assert not segmenter.is_image_set


BAD_PROMPTS = {
    "another length": ([[[0, 0, 5, 5]]], "boxes: 1 given for 3 pictures"),
    "no list": (7, "boxes: int given for 3 pictures"),
    "outside the second picture": ([[[0, 0, 50, 5]]] * 3, r"picture 1: box 0,0,50,5: reaches outside"),
    "none for the last": ([[[0, 0, 5, 5]], [[0, 0, 5, 5]], None], "picture 2: prompt: no point and no box"),
    "an empty list": ([[[0, 0, 5, 5]], [], [[0, 0, 5, 5]]], r"picture 1: box: shape \[0\]"),
}


@pytest.mark.parametrize(("boxes", "text"), BAD_PROMPTS.values(), ids=BAD_PROMPTS)
def test_bad_lists_of_prompts(segmenter: Segmenter, boxes: list[object], text: str) -> None:
    segmenter.set_image_batch(pictures())
    with pytest.raises(RequestError, match=text):
        segmenter.predict_image_batch(boxes=boxes)


class Counting:
    """A session that notes how many prompts it is given at once."""

    def __init__(self, session: Session) -> None:
        self.session, self.batches = session, list[int]()

    @property
    def report(self) -> EngineReport:
        return self.session.report

    def run(self, feeds: dict[str, Array]) -> dict[str, Array]:
        self.batches.append(len(feeds.get("point_coords", ())))
        return self.session.run(feeds)


def test_large_batches_go_in_parts(
    sessions: dict[str, Session], picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = Counting(sessions["mask_decoder"])
    segmenter = Segmenter({**sessions, "mask_decoder": decoder}, model.PREPROCESSING, model.MASK_RULE)
    segmenter.set_image(picture)
    boxes = boxes_in((60, 100), 11)
    points, labels = boxes[:, np.newaxis, :2], np.ones((11, 1))
    earlier = segmenter.predict_batch(boxes=boxes, multimask_output=False).low_res_masks
    whole = segmenter.predict_batch(points, labels, boxes, earlier)
    bytes_a_prompt = picture_model.FEATURES_A_PROMPT * segmenter.get_image_embedding().nbytes
    monkeypatch.setattr(picture_model, "WORKING_SET_BYTES", 4 * bytes_a_prompt)
    decoder.batches.clear()
    assert same(segmenter.predict_batch(points, labels, boxes, earlier), whole)
    assert decoder.batches == [4, 4, 3]
    monkeypatch.setattr(picture_model, "WORKING_SET_BYTES", 1)
    decoder.batches.clear()
    assert same(segmenter.predict_batch(points, labels, boxes, earlier), whole)
    assert decoder.batches == [1] * 11


def test_masks_beyond_memory(segmenter: Segmenter, picture: np.ndarray) -> None:
    encoded = segmenter.encode(picture)
    vast = dataclasses.replace(encoded, original_hw=(10**8, 10**8))
    prompts = picture_model.Prompts(boxes=np.array([[0.0, 0.0, 9.0, 9.0]]))
    with pytest.raises(RequestError, match=r"3 masks of 100000000x100000000 pixels do not fit into memory"):
        segmenter.decode(vast, prompts)


def test_points_beyond_number(segmenter: Segmenter, picture: np.ndarray) -> None:
    segmenter.set_image(picture)
    with pytest.raises(RequestError, match="1025 points in one prompt, at most 1024"):
        segmenter.predict(np.ones((1025, 2)), np.ones(1025))
