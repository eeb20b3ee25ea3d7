"""SAM 2's own image predictor, its authors' class over their modules, beside ours on the same weights' graphs.

The flows are those of `notebooks/image_predictor_example.ipynb` (facebookresearch/sam2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sam_export.models import FAMILIES
from sam_export.models.loader import random_model
from sam_export.runtimes.selftest import mask_iou
from sam_export.runtimes.upstream import SAM2ImagePredictor

from ..models import sam2_source as source
from ..models.sam2_answers import with_weights_of
from ..models.test_sam2 import SIDE, SIZES, reduced_variant, upstream_config
from ..models.wheel_source import shim
from .exported import exported

# What upstream does, and torch wants to give up.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*sdp_kernel:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),
]

# The stages' sides, which upstream's predictor knows for pictures of 1024 pixels alone.
STAGE_SIDES = [(SIDE // stride,) * 2 for stride in (4, 8, 16)]
HEIGHT, WIDTH = 120, 200
POINT, LABEL = np.array([[90, 60]]), np.array([1])
POINTS, LABELS = np.array([[90, 60], [30, 100]]), np.array([1, 0])
BOX = np.array([40, 20, 150, 90])
BOXES = np.array([[5, 6, 80, 70], [40, 20, 150, 90], [0, 0, 200, 120]])
# Upstream resizes in float, ours in uint8 as Pillow does: half a grey level, which random weights do not make larger.
TOLERANCE = 0.01


class Both(NamedTuple):
    upstream: Any
    own: SAM2ImagePredictor


class Resize(nn.Module):
    """torchvision's, of a tensor: bilinear and antialiased."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.height, self.width = size

    def forward(self, image: Tensor) -> Tensor:
        size = [self.height, self.width]
        return F.interpolate(image[None], size, mode="bilinear", align_corners=False, antialias=True)[0]


class Normalize(nn.Module):
    """torchvision's."""

    def __init__(self, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).reshape(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).reshape(3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        return (image - self.mean) / self.std


def to_tensor() -> Callable[[np.ndarray], Tensor]:
    return lambda image: torch.from_numpy(image.copy()).permute(2, 0, 1).float() / 255


def torchvision() -> dict[str, ModuleType]:
    transforms = shim("torchvision.transforms", Normalize=Normalize, Resize=Resize, ToTensor=to_tensor)
    return shim("torchvision") | transforms


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    """Two of different sizes, smooth enough for what rounding does to them to be small."""
    coarse = torch.rand(2, 3, 6, 9, generator=torch.Generator().manual_seed(3))
    sizes = ((HEIGHT, WIDTH), (150, 90))
    return [
        (F.interpolate(one[None], size, mode="bicubic").clamp(0, 1)[0] * 255).byte().permute(1, 2, 0).numpy()
        for one, size in zip(coarse, sizes, strict=True)
    ]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    variant = reduced_variant(SIZES["tiny"])
    model = random_model(FAMILIES[variant.family].build(variant), variant, seed=11)
    wheel = source.download(tmp_path_factory.mktemp("wheel"))
    upstream = with_weights_of(model, source.build(wheel, upstream_config(wheel, variant)))
    with source.image_predictor(wheel, torchvision()) as upstreams:
        predictor = upstreams(upstream)
        predictor._bb_feat_sizes = STAGE_SIDES
        yield Both(predictor, SAM2ImagePredictor(exported(model, tmp_path_factory.mktemp("sam2"))))


def check(both: Both, **given: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return upstream's answer, if ours is the same."""
    expected, found = (predictor.predict(**given, return_logits=True) for predictor in both)
    for reference, answer in zip(expected, found, strict=True):
        assert reference.shape == answer.shape
        assert np.abs(answer - reference).max() < TOLERANCE * np.abs(reference).max()
    masks, own = (predictor.predict(**given)[0] for predictor in both)
    assert masks.dtype == own.dtype == np.float32
    assert mask_iou(masks > 0, own > 0) > 0.99
    return expected


def test_clicks_and_boxes(both: Both, pictures: list[np.ndarray]) -> None:
    for predictor in both:
        predictor.set_image(pictures[0])
    _, scores, logits = check(both, point_coords=POINT, point_labels=LABEL, multimask_output=True)
    best = logits[np.argmax(scores)][None]
    points = {"point_coords": POINTS, "point_labels": LABELS}
    check(both, **points, mask_input=best, multimask_output=False)
    check(both, box=BOX, multimask_output=False)
    check(both, box=BOX, point_coords=POINT, point_labels=np.array([0]), multimask_output=False)
    check(both, box=BOXES, multimask_output=False)
    check(both, box=BOX / [WIDTH, HEIGHT, WIDTH, HEIGHT], normalize_coords=False, multimask_output=True)


def test_lists_of_pictures(both: Both, pictures: list[np.ndarray]) -> None:
    for predictor in both:
        predictor.set_image_batch(pictures)
    given = {
        # None whose single mask is as stable as the fallback's threshold, where half a grey level decides.
        "point_coords_batch": [POINTS[:, None], np.array([[[50, 40]], [[20, 20]], [[70, 140]]])],
        "point_labels_batch": [np.array([[1], [1]]), np.array([[1], [0], [1]])],
    }
    for several in (True, False):
        expected, found = (predictor.predict_batch(**given, multimask_output=several) for predictor in both)
        for kind, own in zip(expected, found, strict=True):
            assert [one.shape for one in kind] == [one.shape for one in own]
        for masks, own in zip(expected[0], found[0], strict=True):
            assert mask_iou(masks > 0, own > 0) > 0.99
