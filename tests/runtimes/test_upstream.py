"""The flows of upstream's notebooks, run on a bundle's graphs and compared with upstream's steps over the torch model.

Sources: `notebooks/predictor_example.ipynb` (facebookresearch/segment-anything) and
`notebooks/image_predictor_example.ipynb` (facebookresearch/sam2).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sam_export.errors import RequestError, UnsupportedError
from sam_export.models import SamModel
from sam_export.runtimes import Segmenter
from sam_export.runtimes.selftest import mask_iou
from sam_export.runtimes.upstream import SAM2ImagePredictor, SamPredictor

from .exported import exported
from .torch_predictor import Given, predictor

HEIGHT, WIDTH = 45, 90
POINT, LABEL = np.array([[25, 19]]), np.array([1])
POINTS, LABELS = np.array([[25, 19], [56, 32]]), np.array([1, 0])
BOX = np.array([22, 8, 61, 41])
BOXES = np.array([[3, 4, 40, 30], [22, 8, 61, 41], [0, 0, 90, 45], [50, 20, 80, 44]])


@pytest.fixture(scope="module")
def model(tiny_segmenter: Segmenter) -> Segmenter:
    return tiny_segmenter


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(3).integers(20, 256, (HEIGHT, WIDTH, 3), np.uint8)


def expected(model: SamModel, image: np.ndarray, given: Given, tokens: list[int]) -> list[np.ndarray]:
    return [tensor[tokens].numpy() for tensor in predictor(model, image, given)]


def check(found: tuple[np.ndarray, ...], reference: list[np.ndarray]) -> None:
    """Masks may differ where the logit is next to nothing, as two engines round."""
    masks, ious, low_res = found
    logits, reference_ious, reference_low_res = reference
    tolerance = 1e-3 * np.abs(reference_low_res).max()
    assert masks.shape == logits.shape
    certain = np.abs(logits) > tolerance
    assert certain.mean() > 0.5
    assert np.array_equal(masks.astype(bool)[certain], (logits > 0)[certain])
    assert np.abs(ious - reference_ious).max() < 1e-3
    assert np.abs(low_res - reference_low_res).max() < tolerance


def test_sam_notebook(model: Segmenter, tiny_sam: SamModel, image: np.ndarray) -> None:
    sam = SamPredictor(model)
    sam.set_image(image)
    assert sam.is_image_set
    assert (sam.original_size, sam.input_size) == ((HEIGHT, WIDTH), (32, 64))

    masks, scores, logits = sam.predict(point_coords=POINT, point_labels=LABEL, multimask_output=True)
    check((masks, scores, logits), expected(tiny_sam, image, {"point_coords": POINT, "point_labels": LABEL}, [1, 2, 3]))
    assert (masks.shape, masks.dtype) == ((3, HEIGHT, WIDTH), np.bool_)

    mask_input = logits[np.argmax(scores), :, :]
    points = {"point_coords": POINTS, "point_labels": LABELS}
    found = sam.predict(**points, mask_input=mask_input[None, :, :], multimask_output=False)
    check(found, expected(tiny_sam, image, {**points, "mask_input": mask_input[None]}, [0]))

    found = sam.predict(point_coords=None, point_labels=None, box=BOX[None, :], multimask_output=False)
    check(found, expected(tiny_sam, image, {"box": BOX}, [0]))

    background = {"point_coords": POINT, "point_labels": np.array([0]), "box": BOX}
    check(sam.predict(**background, multimask_output=False), expected(tiny_sam, image, background, [0]))

    transformed_boxes = sam.transform.apply_boxes_torch(BOXES, image.shape[:2])
    masks, ious, low_res = sam.predict_torch(
        point_coords=None, point_labels=None, boxes=transformed_boxes, multimask_output=False
    )
    assert masks.shape == (4, 1, HEIGHT, WIDTH)
    for index, box in enumerate(BOXES):
        check((masks[index], ious[index], low_res[index]), expected(tiny_sam, image, {"box": box}, [0]))

    sam.reset_image()
    assert not sam.is_image_set
    assert sam.features is None


def test_sam_takes_tensors_and_points_in_its_frame(model: Segmenter, image: np.ndarray) -> None:
    sam = SamPredictor(model)
    sam.set_image(image)
    corner = np.array([[[WIDTH, HEIGHT], [0, 0]]])
    in_frame = torch.from_numpy(sam.transform.apply_coords_torch(corner, (HEIGHT, WIDTH)))
    batched = sam.predict_torch(in_frame, torch.tensor([[1, 0]]), multimask_output=True)
    single = sam.predict(corner[0], [1, 0])
    assert np.array_equal(batched[0][0], single[0])
    with pytest.raises(RequestError, match=r"boxes: shape \[4\], allowed"):
        sam.predict_torch(None, None, np.array([1, 2, 3, 4]))


def test_sam_takes_bgr(model: Segmenter, image: np.ndarray) -> None:
    sam = SamPredictor(model)
    sam.set_image(image)
    embedding = sam.get_image_embedding()
    sam.set_image(image[..., ::-1], image_format="BGR")
    assert np.array_equal(sam.features, embedding)
    with pytest.raises(RequestError, match="image_format 'HSV': allowed: RGB, BGR"):
        sam.set_image(image, image_format="HSV")  # type: ignore[arg-type]  # what is tested


def test_the_transform_is_the_encoders(model: Segmenter, image: np.ndarray) -> None:
    transform = SamPredictor(model).transform
    assert transform.apply_image(image).shape == (32, 64, 3)
    assert np.allclose(transform.apply_coords([[90, 45]], (HEIGHT, WIDTH)), [[64, 32]])


def test_sam2_notebook(model: Segmenter, tiny_sam: SamModel, image: np.ndarray) -> None:
    sam2 = SAM2ImagePredictor(model)
    sam2.set_image(image)

    masks, scores, logits = sam2.predict(point_coords=POINT, point_labels=LABEL, multimask_output=True)
    check((masks, scores, logits), expected(tiny_sam, image, {"point_coords": POINT, "point_labels": LABEL}, [1, 2, 3]))
    assert masks.dtype == np.float32
    order = np.argsort(scores)[::-1]
    assert masks[order].shape == (3, HEIGHT, WIDTH)

    mask_input = logits[np.argmax(scores), :, :]
    points = {"point_coords": POINTS, "point_labels": LABELS}
    found = sam2.predict(**points, mask_input=mask_input[None, :, :], multimask_output=False)
    check(found, expected(tiny_sam, image, {**points, "mask_input": mask_input[None]}, [0]))

    found = sam2.predict(point_coords=None, point_labels=None, box=BOX[None, :], multimask_output=False)
    check(found, expected(tiny_sam, image, {"box": BOX}, [0]))
    normalized = BOX / [WIDTH, HEIGHT, WIDTH, HEIGHT]
    again = sam2.predict(box=normalized, multimask_output=False, normalize_coords=False)
    assert np.array_equal(again[0], found[0])

    masks, scores, _ = sam2.predict(point_coords=None, point_labels=None, box=BOXES, multimask_output=False)
    assert (masks.shape, scores.shape) == ((4, 1, HEIGHT, WIDTH), (4, 1))


def test_sam2_notebook_with_lists_of_pictures(model: Segmenter, tiny_sam: SamModel, image: np.ndarray) -> None:
    images = [image, np.ascontiguousarray(image[:30, ::-1])]
    sam2 = SAM2ImagePredictor(model)
    sam2.set_image_batch(images)
    boxes_batch = [BOXES, np.array([[5, 5, 50, 25]])]
    masks_batch, scores_batch, _ = sam2.predict_batch(None, None, box_batch=boxes_batch, multimask_output=False)
    assert [masks.shape for masks in masks_batch] == [(4, 1, HEIGHT, WIDTH), (1, 30, WIDTH)]
    logits, ious, _ = expected(tiny_sam, images[1], {"box": boxes_batch[1][0]}, [0])
    assert np.abs(scores_batch[1] - ious).max() < 1e-3
    assert mask_iou(logits[0] > 0, masks_batch[1][0] > 0) > 0.99

    points = [np.array([[[25, 19]], [[60, 30]]]), np.array([[[10, 10]], [[30, 20]]])]
    labels = [np.array([[1], [1]])] * 2
    masks_batch, scores_batch, _ = sam2.predict_batch(points, labels, box_batch=None, multimask_output=True)
    best_masks = []
    for masks, scores in zip(masks_batch, scores_batch, strict=True):
        best_masks.append(masks[range(len(masks)), np.argmax(scores, axis=-1)])
    assert [masks.shape for masks in best_masks] == [(2, HEIGHT, WIDTH), (2, 30, WIDTH)]
    with pytest.raises(RequestError, match="boxes: 1 given for 2 pictures"):
        sam2.predict_batch(box_batch=[BOXES])
    sam2.reset_predictor()
    assert not sam2.model.is_image_set


def test_sam2_with_a_threshold_of_its_own(model: Segmenter, image: np.ndarray) -> None:
    sam2 = SAM2ImagePredictor(model, mask_threshold=0.25)
    sam2.set_image(image)
    logits, _, _ = sam2.predict(box=BOX, return_logits=True)
    masks, _, _ = sam2.predict(box=BOX)
    assert np.array_equal(masks, (logits > 0.25).astype(np.float32))
    with pytest.raises(UnsupportedError, match="max_hole_area"):
        SAM2ImagePredictor(model, max_hole_area=8)


@pytest.mark.slow
def test_boxes_of_trained_weights(lite_medsam: SamModel, tmp_path: Path) -> None:
    """LiteMedSAM answers to boxes; on a real picture every mask is the torch model's."""
    import skimage.data

    image = skimage.data.coins()[..., None].repeat(3, axis=-1)
    sam = SamPredictor(exported(lite_medsam, tmp_path))
    sam.set_image(image)
    boxes = np.array([[250, 172, 296, 218], [255, 34, 297, 74], [189, 169, 237, 218]])
    masks, _, _ = sam.predict_torch(None, None, sam.transform.apply_boxes_torch(boxes, image.shape[:2]), None, False)
    for box, mask in zip(boxes, masks[:, 0], strict=True):
        logits, _, _ = predictor(lite_medsam, image, {"box": box})
        assert mask_iou((logits[0] > 0).numpy(), mask) > 0.999
        assert mask_iou(mask, sam.predict(box=box, multimask_output=False)[0][0]) > 0.999
