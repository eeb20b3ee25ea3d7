"""Opening by upstream's names, and what its notebook does with the model itself and with tensors.

Source: `notebooks/predictor_example.ipynb` (facebookresearch/segment-anything).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from sam_export.contract import Session, StabilityFallback
from sam_export.errors import RequestError, UnsupportedError
from sam_export.runtimes import Segmenter
from sam_export.runtimes.embedding_key import EmbeddingKey
from sam_export.runtimes.upstream import (
    ResizeLongestSide,
    Sam,
    SAM2ImagePredictor,
    SamPredictor,
    build_sam2,
    sam_model_registry,
)

from . import geometric_model
from .conftest import write_geometric_bundle

HEIGHT, WIDTH = 45, 90
BOXES = torch.tensor([[3, 4, 40, 30], [22, 8, 61, 41], [50, 20, 80, 44]])


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(3).integers(20, 256, (HEIGHT, WIDTH, 3), np.uint8)


def bundle_of(name: str, graph_folder: Path, picture: np.ndarray, out: Path) -> Path:
    return write_geometric_bundle(graph_folder, picture, np.ones(picture.shape[:2]), out, name)


def test_the_registry_opens_bundles(graph_folder: Path, picture: np.ndarray, tmp_path: Path) -> None:
    bundle = bundle_of("sam_vit_b", graph_folder, picture, tmp_path)
    sam = sam_model_registry["vit_b"](checkpoint=str(bundle))
    assert sam.to(device="cpu").eval() is sam
    assert (sam.device, sam.image_format, sam.mask_threshold) == ("cpu", "RGB", 0.0)
    predictor = SamPredictor(sam)
    predictor.set_image(picture)
    assert predictor.model is sam.segmenter
    assert SamPredictor(sam_model_registry["default"](checkpoint=bundle)).model.embedding_key.model == "sam_vit_b"
    with pytest.raises(RequestError, match=r"sam_model_registry\['vit_h'\]: .* is a bundle of sam_vit_b; give one"):
        sam_model_registry["vit_h"](checkpoint=bundle)
    with pytest.raises(UnsupportedError, match="device cuda: allowed: cpu"):
        sam.to("cuda")


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ("configs/sam2.1/sam2.1_hiera_b+.yaml", "sam2.1_hiera_base_plus"),
        ("sam2_hiera_t.yaml", "sam2_hiera_tiny"),
        ("configs/edgetam.yaml", "edgetam"),
    ],
)
def test_sam2_is_built_from_bundles(
    config: str, name: str, graph_folder: Path, picture: np.ndarray, tmp_path: Path
) -> None:
    bundle = bundle_of(name, graph_folder, picture, tmp_path)
    predictor = SAM2ImagePredictor(build_sam2(config, str(bundle), device=torch.device("cpu")))
    predictor.set_image(picture)
    shape = (1, 3, geometric_model.CELLS, geometric_model.CELLS)
    assert predictor._features["image_embed"].shape == shape
    assert predictor._features["high_res_feats"] == []
    with pytest.raises(RequestError, match=rf"sam2_hiera_l.yaml is of sam2_hiera_large, .* is a bundle of {name}"):
        build_sam2("sam2_hiera_l.yaml", bundle)
    with pytest.raises(UnsupportedError, match="device cuda"):
        build_sam2(config, bundle, "cuda")


def test_sam2_with_and_without_its_fallback(sessions: dict[str, Session], picture: np.ndarray) -> None:
    """No mask of the model is stable enough, so token 2, the best of three, answers in token 0's place."""
    rule = dataclasses.replace(geometric_model.MASK_RULE, stability_fallback=StabilityFallback(4.0, 0.95))
    key = EmbeddingKey("sam2_hiera_tiny", "0" * 64, geometric_model.ENCODER_CONTRACT.outputs)
    segmenter = Segmenter(sessions, geometric_model.PREPROCESSING, rule, embedding_key=key)
    for applied, iou in ((True, 0.8), (False, 0.9)):
        predictor = SAM2ImagePredictor.from_pretrained(segmenter, apply_postprocessing=applied, mask_threshold=0.5)
        assert predictor.mask_threshold == 0.5
        predictor.set_image(picture)
        _, ious, _ = predictor.predict(np.array([[50, 30]]), np.array([1]), multimask_output=False)
        assert ious.tolist() == [pytest.approx(iou)]
    with pytest.raises(UnsupportedError, match="max_hole_area"):
        SAM2ImagePredictor.from_pretrained(segmenter, max_hole_area=8.0)


def test_the_end_to_end_call(tiny_segmenter: Segmenter, image: np.ndarray) -> None:
    sam = Sam(tiny_segmenter)
    resize_transform = ResizeLongestSide(sam.image_encoder.img_size)

    def prepare_image(image: np.ndarray, transform: ResizeLongestSide, device: Sam) -> torch.Tensor:
        array = transform.apply_image(image)
        return torch.as_tensor(array, device=device.device).permute(2, 0, 1).contiguous()

    images = [image, np.ascontiguousarray(image[:30, ::-1])]
    points = torch.tensor([[[10, 10], [70, 20]]])
    batched_input = [
        {
            "image": prepare_image(images[0], resize_transform, sam),
            "boxes": resize_transform.apply_boxes_torch(BOXES, images[0].shape[:2]),
            "original_size": images[0].shape[:2],
        },
        {
            "image": prepare_image(images[1], resize_transform, sam),
            "point_coords": resize_transform.apply_coords_torch(points, images[1].shape[:2]),
            "point_labels": torch.tensor([[1, 0]]),
            "original_size": images[1].shape[:2],
        },
    ]
    batched_output = sam(batched_input, multimask_output=False)
    assert list(batched_output[0]) == ["masks", "iou_predictions", "low_res_logits"]
    for mask in batched_output[0]["masks"]:
        assert mask.cpu().numpy().shape == (1, HEIGHT, WIDTH)

    predictor = SamPredictor(sam)
    prompts = [(None, None, BOXES.numpy()), (points.numpy(), np.array([[1, 0]]), None)]
    for picture, output, (coords, labels, boxes) in zip(images, batched_output, prompts, strict=True):
        predictor.set_image(picture)
        expected = predictor.model.predict_batch(coords, labels, boxes, multimask_output=False)
        for one, other in zip(output.values(), expected, strict=True):
            assert np.array_equal(one.numpy(), other)
    assert not predictor.is_image_set or predictor.original_size == (30, WIDTH)


def test_tensors_for_tensors_and_arrays_for_arrays(tiny_segmenter: Segmenter, image: np.ndarray) -> None:
    predictor = SamPredictor(tiny_segmenter)
    predictor.set_image(image)
    transformed = predictor.transform.apply_boxes_torch(BOXES, image.shape[:2])
    assert isinstance(transformed, torch.Tensor)
    masks, scores, low_res = predictor.predict_torch(None, None, boxes=transformed, multimask_output=False)
    assert [mask.cpu().numpy().dtype for mask in masks] == [np.bool_] * 3
    again = predictor.predict_torch(None, None, boxes=transformed.numpy(), multimask_output=False)
    assert all(type(part) is np.ndarray for part in again)
    assert all(np.array_equal(one.numpy(), two) for one, two in zip((masks, scores, low_res), again, strict=True))


def test_pictures_as_tensors(tiny_segmenter: Segmenter, image: np.ndarray) -> None:
    predictor = SamPredictor(tiny_segmenter)
    predictor.set_image(image)
    embedding = predictor.features
    resized = torch.as_tensor(predictor.transform.apply_image(image)).permute(2, 0, 1)[None]
    predictor.set_torch_image(resized, image.shape[:2])
    assert np.array_equal(predictor.features, embedding)
    assert predictor.original_size == (HEIGHT, WIDTH)

    by_torch = predictor.transform.apply_image_torch(torch.as_tensor(image).permute(2, 0, 1)[None].float())
    assert float((by_torch - resized).abs().max()) < 2  # rounded to uint8 twice
    predictor.set_torch_image(by_torch, image.shape[:2])

    with pytest.raises(RequestError, match=r"shape \[3, 32, 63\], allowed for a picture of 45x90: \[3, 32, 64\]"):
        predictor.set_torch_image(resized[..., :63], image.shape[:2])
    assert not predictor.is_image_set  # a picture that cannot be used leaves none to answer
    with pytest.raises(RequestError, match=r"values -0.* to 0.*, allowed: 0\.\.255"):
        predictor.set_torch_image(resized / 127.5 - 1, image.shape[:2])
    with pytest.raises(RequestError, match=r"allowed: \[1, 3, h, w\]"):
        predictor.set_torch_image(resized[0], image.shape[:2])
    with pytest.raises(RequestError, match="original_size 0x90"):
        predictor.set_torch_image(resized, (0, 90))
    with pytest.raises(RequestError, match="apply_image takes arrays"):
        predictor.transform.apply_image_torch(image)  # type: ignore[arg-type]  # what is tested


def test_bad_batches_are_refused(tiny_segmenter: Segmenter, image: np.ndarray) -> None:
    sam = Sam(tiny_segmenter)
    with pytest.raises(RequestError, match=r"batched_input\[0\]: missing \['original_size'\], unknown \['box'\]"):
        sam([{"image": image, "box": [1, 2, 3, 4]}], multimask_output=False)  # type: ignore[typeddict-unknown-key]
    picture = sam.transform.apply_image(image).transpose(2, 0, 1)
    with pytest.raises(RequestError, match="no point and no box"):
        sam([{"image": picture, "original_size": (HEIGHT, WIDTH)}], multimask_output=False)


def test_a_model_that_stretches_has_its_own_transform(sessions: dict[str, Session], picture: np.ndarray) -> None:
    stretched = dataclasses.replace(geometric_model.PREPROCESSING, fit="stretch")
    sam = Sam(Segmenter(sessions, stretched, geometric_model.MASK_RULE))
    with pytest.raises(UnsupportedError, match="take the model's own `transform`"):
        ResizeLongestSide(sam.image_encoder.img_size)
    assert sam.transform.apply_image(picture).shape == (64, 64, 3)
