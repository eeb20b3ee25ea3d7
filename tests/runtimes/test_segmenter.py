"""The Segmenter over real ONNX Runtime sessions whose masks are known beforehand."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam_export.contract import Session
from sam_export.errors import ContractError, ImageError, RequestError
from sam_export.runtimes import Segmenter
from sam_export.runtimes.selftest import mask_iou

from . import geometric_model as model
from .conftest import open_graph

SHAPES = {"wide": (60, 100), "tall": (150, 37), "square": (64, 64), "one pixel wide": (90, 1), "one pixel": (1, 1)}


def rectangle(shape: tuple[int, int], box: Sequence[float]) -> np.ndarray:
    """Pixels whose centre lies in the box."""
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    return (x > box[0]) & (x < box[2]) & (y > box[1]) & (y < box[3])


def picture_of(shape: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)


@pytest.mark.parametrize("shape", [(60, 100), (150, 37), (64, 64), (30, 20), (400, 700)], ids=str)
def test_box_comes_back_as_a_mask_in_the_pictures_own_pixels(segmenter: Segmenter, shape: tuple[int, int]) -> None:
    height, width = shape
    box = (0.2 * width, 0.25 * height, 0.9 * width, 0.8 * height)
    segmenter.set_image(picture_of(shape))
    masks, iou_predictions, low_res_masks = segmenter.predict(box=box, multimask_output=False)
    assert masks.shape == (1, *shape)
    assert masks.dtype == np.bool_
    assert iou_predictions.tolist() == [np.float32(0.9)]
    assert low_res_masks.shape == (1, model.CELLS, model.CELLS)
    assert mask_iou(rectangle(shape, box), masks[0]) > 0.9


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_full_size_masks_for_thin_pictures(segmenter: Segmenter, shape: tuple[int, int]) -> None:
    segmenter.set_image(picture_of(shape))
    masks, _, _ = segmenter.predict(box=(0, 0, shape[1], shape[0]))
    assert masks.shape == (3, *shape)
    assert segmenter.original_hw == shape


def test_point_answers_around_the_point(segmenter: Segmenter, picture: np.ndarray) -> None:
    segmenter.set_image(picture)
    masks, _, _ = segmenter.predict([[30, 20]], [1], multimask_output=False)
    radius = model.RADIUS * 100 / model.FRAME
    assert mask_iou(rectangle((60, 100), (30 - radius, 20 - radius, 30 + radius, 20 + radius)), masks[0]) > 0.85


def test_multimask_gives_the_three_tokens_and_single_the_first(segmenter: Segmenter, picture: np.ndarray) -> None:
    segmenter.set_image(picture)
    box = (10, 10, 90, 50)
    several, single = segmenter.predict(box=box), segmenter.predict(box=box, multimask_output=False)
    assert several.iou_predictions.tolist() == [np.float32(value) for value in model.IOU_PREDICTIONS[1:]]
    assert several.masks.shape[0] == several.low_res_masks.shape[0] == 3
    areas = [int(mask.sum()) for mask in (*single.masks, *several.masks)]
    assert areas == sorted(areas, reverse=True)
    assert len(set(areas)) == 4


def test_a_model_without_multimask_tokens_answers_with_its_one_mask(
    sessions: dict[str, Session], picture: np.ndarray
) -> None:
    rule = dataclasses.replace(model.MASK_RULE, multimask_tokens=())
    segmenter = Segmenter(sessions, model.PREPROCESSING, rule)
    segmenter.set_image(picture)
    several, single = (segmenter.predict(box=(1, 2, 50, 40), multimask_output=flag) for flag in (True, False))
    assert several.masks.shape == (1, 60, 100)
    assert all(np.array_equal(one, other) for one, other in zip(several, single, strict=True))


def test_logits_are_what_the_masks_are_cut_from(segmenter: Segmenter, picture: np.ndarray) -> None:
    segmenter.set_image(picture)
    logits = segmenter.predict(box=(10, 10, 90, 50), return_logits=True).masks
    assert logits.dtype == np.float32
    assert np.array_equal(logits > 0, segmenter.predict(box=(10, 10, 90, 50)).masks)


def test_threshold_is_the_rules(sessions: dict[str, Session], picture: np.ndarray) -> None:
    strict = Segmenter(sessions, model.PREPROCESSING, dataclasses.replace(model.MASK_RULE, threshold=3.0))
    strict.set_image(picture)
    logits = strict.predict(box=(10, 10, 90, 50), return_logits=True).masks
    assert np.array_equal(strict.predict(box=(10, 10, 90, 50)).masks, logits > 3.0)


def test_mask_fed_back_reaches_the_decoder(segmenter: Segmenter, picture: np.ndarray) -> None:
    segmenter.set_image(picture)
    box = (10, 10, 90, 50)
    first = segmenter.predict(box=box, multimask_output=False)
    again = segmenter.predict(box=box, mask_input=first.low_res_masks, multimask_output=False)
    assert np.allclose(again.low_res_masks, 2 * first.low_res_masks, atol=1e-5)


def test_batch_equals_single_calls(segmenter: Segmenter, picture: np.ndarray) -> None:
    segmenter.set_image(picture)
    boxes = np.array([[5, 5, 40, 30], [50, 20, 99, 59], [0, 0, 100, 60]])
    points, labels = np.array([[[10, 10]], [[60, 30]], [[50, 50]]]), np.array([[0], [0], [0]])
    batch = segmenter.predict_batch(points, labels, boxes)
    assert batch.masks.shape == (3, 3, 60, 100)
    assert batch.low_res_masks.shape == (3, 3, model.CELLS, model.CELLS)
    assert batch.iou_predictions.shape == (3, 3)
    for index, box in enumerate(boxes):
        alone = segmenter.predict(points[index], labels[index], box)
        assert all(np.array_equal(one[index], other) for one, other in zip(batch, alone, strict=True))


def test_pil_and_array_are_the_same_picture(segmenter: Segmenter, picture: np.ndarray) -> None:
    segmenter.set_image(picture)
    from_array = segmenter.get_image_embedding()
    segmenter.set_image(Image.fromarray(picture))
    assert np.array_equal(segmenter.get_image_embedding(), from_array)


def test_a_view_of_another_array_is_the_picture_that_it_shows(segmenter: Segmenter, picture: np.ndarray) -> None:
    segmenter.set_image(picture[::-1, :, ::-1])  # upside down, BGR
    from_view = segmenter.get_image_embedding()
    segmenter.set_image(picture[::-1, :, ::-1].copy())
    assert np.array_equal(segmenter.get_image_embedding(), from_view)


def test_encode_leaves_the_current_picture_alone(segmenter: Segmenter, picture: np.ndarray) -> None:
    segmenter.set_image(picture)
    assert segmenter.encode(picture_of((10, 20))).original_hw == (10, 20)
    assert segmenter.original_hw == (60, 100)


def test_several_pictures_one_after_another(segmenter: Segmenter) -> None:
    for shape in SHAPES.values():
        segmenter.set_image(picture_of(shape))
        assert segmenter.predict(box=(0, 0, shape[1], shape[0]), multimask_output=False).masks.shape == (1, *shape)


WITHOUT_PICTURE: dict[str, Callable[[Segmenter], object]] = {
    "predict": lambda segmenter: segmenter.predict(box=(0, 0, 9, 9)),
    "predict_batch": lambda segmenter: segmenter.predict_batch(boxes=[(0, 0, 9, 9)]),
    "original_hw": lambda segmenter: segmenter.original_hw,
    "get_image_embedding": lambda segmenter: segmenter.get_image_embedding(),
}


@pytest.mark.parametrize("call", WITHOUT_PICTURE.values(), ids=WITHOUT_PICTURE)
def test_no_picture_set(segmenter: Segmenter, picture: np.ndarray, call: Callable[[Segmenter], object]) -> None:
    with pytest.raises(RequestError, match="call set_image first"):
        call(segmenter)
    segmenter.set_image(picture)
    call(segmenter)
    segmenter.reset_image()
    assert not segmenter.is_image_set
    with pytest.raises(RequestError, match="call set_image first"):
        call(segmenter)


def test_a_bad_picture_does_not_leave_the_earlier_one_to_answer(segmenter: Segmenter, picture: np.ndarray) -> None:
    segmenter.set_image(picture)
    with pytest.raises(ImageError):
        segmenter.set_image(picture.astype(np.float32))
    assert not segmenter.is_image_set


def test_reports_say_what_runs(segmenter: Segmenter) -> None:
    assert set(segmenter.reports) == {"image_encoder", "mask_decoder"}
    assert {report.engine for report in segmenter.reports.values()} == {"onnxruntime"}
    assert {report.threads for report in segmenter.reports.values()} == {1}


def test_a_component_is_missing(sessions: dict[str, Session]) -> None:
    with pytest.raises(ContractError, match="no session for mask_decoder"):
        Segmenter({"image_encoder": sessions["image_encoder"]}, model.PREPROCESSING, model.MASK_RULE)


def test_nan_from_the_engine_is_an_error(sessions: dict[str, Session], picture: np.ndarray, tmp_path: Path) -> None:
    broken = open_graph(model.save_decoder(tmp_path / "decoder.onnx", logit_scale=float("nan")), model.DECODER_CONTRACT)
    segmenter = Segmenter({**sessions, "mask_decoder": broken}, model.PREPROCESSING, model.MASK_RULE)
    segmenter.set_image(picture)
    with pytest.raises(ContractError, match=r"mask_decoder on onnxruntime .*low_res_masks holds NaN"):
        segmenter.predict(box=(1, 1, 9, 9))


def test_selftest_needs_a_bundle(segmenter: Segmenter) -> None:
    with pytest.raises(RequestError, match="not opened from a bundle"):
        segmenter.selftest()


def test_threads_may_share_a_segmenter(segmenter: Segmenter, picture: np.ndarray) -> None:
    segmenter.set_image(picture)
    boxes = [(i, i, 60 + i, 30 + i) for i in range(8)]
    alone = [segmenter.predict(box=box).masks for box in boxes]
    together: dict[int, np.ndarray] = {}
    threads = [
        threading.Thread(target=lambda i=i: together.update({i: segmenter.predict(box=boxes[i]).masks}))
        for i in range(len(boxes))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(together[i], alone[i]) for i in range(len(boxes)))
