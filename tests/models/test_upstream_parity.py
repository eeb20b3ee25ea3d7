"""The re-authored modules against upstream's own source, on real weights: every kind of prompt, 1e-4."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage
import torch
from PIL import Image
from torch import Tensor, nn

from sam_export.contract import PointLabel
from sam_export.models import SamModel, components

from . import upstream as source

pytestmark = pytest.mark.slow
MAX_RELATIVE_ERROR = 1e-4


@pytest.fixture(scope="module")
def upstream(lite_medsam: SamModel, tmp_path_factory: pytest.TempPathFactory) -> nn.Module:
    return source.build_upstream(
        source.download_wheel(tmp_path_factory.mktemp("wheel")), lite_medsam.module.state_dict()
    )


@pytest.fixture(scope="module")
def image() -> Tensor:
    """The astronaut at 256 px, 0..255."""
    picture = Image.open(Path(skimage.__file__).parent / "data" / "astronaut.png").convert("RGB").resize((256, 256))
    return torch.from_numpy(np.array(picture, dtype=np.float32)).permute(2, 0, 1).unsqueeze(0)


@pytest.fixture(scope="module")
def embeddings(upstream: nn.Module, image: Tensor) -> Tensor:
    unit = (image - image.min()) / (image.max() - image.min())
    with torch.no_grad():
        return upstream.image_encoder(unit)


def relative_error(reference: Tensor, candidate: Tensor) -> float:
    assert reference.shape == candidate.shape
    return float((reference - candidate).abs().max() / reference.abs().max())


def test_image_encoder(lite_medsam: SamModel, image: Tensor, embeddings: Tensor) -> None:
    encoder, _ = components(lite_medsam)
    with torch.no_grad():
        assert relative_error(embeddings, encoder.module(image)) < MAX_RELATIVE_ERROR


POINTS = torch.tensor([[[60.0, 70.0], [120.0, 40.0]]])
POINT_LABELS = torch.tensor([[1.0, 0.0]])
BOX = torch.tensor([[30.0, 20.0, 180.0, 220.0]])
BOX_LABELS = torch.tensor([[float(PointLabel.BOX_TOP_LEFT), float(PointLabel.BOX_BOTTOM_RIGHT)]])
PADDING = (torch.zeros(1, 1, 2), torch.full((1, 1), float(PointLabel.PADDING)))
MASK = torch.randn(1, 1, 256, 256, generator=torch.Generator().manual_seed(3)) * 8

PROMPTS = {
    "box": ({"points": None, "boxes": BOX, "masks": None}, BOX.reshape(1, 2, 2), BOX_LABELS),
    "points": (
        {"points": (POINTS, POINT_LABELS), "boxes": None, "masks": None},
        torch.cat((POINTS, PADDING[0]), 1),
        torch.cat((POINT_LABELS, PADDING[1]), 1),
    ),
    "points_and_box": (
        {"points": (POINTS, POINT_LABELS), "boxes": BOX, "masks": None},
        torch.cat((POINTS, BOX.reshape(1, 2, 2)), 1),
        torch.cat((POINT_LABELS, BOX_LABELS), 1),
    ),
    "points_and_mask": (
        {"points": (POINTS, POINT_LABELS), "boxes": None, "masks": MASK},
        torch.cat((POINTS, PADDING[0]), 1),
        torch.cat((POINT_LABELS, PADDING[1]), 1),
    ),
    "box_and_mask": ({"points": None, "boxes": BOX, "masks": MASK}, BOX.reshape(1, 2, 2), BOX_LABELS),
}


@pytest.mark.parametrize("name", PROMPTS)
def test_mask_decoder(lite_medsam: SamModel, upstream: nn.Module, embeddings: Tensor, name: str) -> None:
    prompt, coords, labels = PROMPTS[name]
    masks, scores = source.decode(upstream, embeddings, prompt)
    _, decoder = components(lite_medsam)
    given = torch.tensor([1.0 if prompt["masks"] is not None else 0.0])
    with torch.no_grad():
        low_res_masks, iou_predictions = decoder.module(embeddings, coords, labels, MASK, given)
    assert relative_error(masks, low_res_masks) < MAX_RELATIVE_ERROR
    assert relative_error(scores, iou_predictions) < MAX_RELATIVE_ERROR


def test_batched_prompts_equal_single_ones(lite_medsam: SamModel, embeddings: Tensor) -> None:
    _, decoder = components(lite_medsam)
    shifts = torch.tensor([0.0, 10.0, 25.0]).reshape(3, 1, 1)
    coords, labels = BOX.reshape(1, 2, 2) + shifts, BOX_LABELS.expand(3, 2)
    masks, given = MASK.expand(3, -1, -1, -1), torch.tensor([0.0, 1.0, 0.0])
    with torch.no_grad():
        together, _ = decoder.module(embeddings, coords, labels, masks, given)
        alone = [
            decoder.module(embeddings, *(t[i : i + 1] for t in (coords, labels, masks, given)))[0] for i in range(3)
        ]
    assert relative_error(torch.cat(alone), together) < MAX_RELATIVE_ERROR


def test_a_wrong_label_is_noticed(lite_medsam: SamModel, upstream: nn.Module, embeddings: Tensor) -> None:
    masks, _ = source.decode(upstream, embeddings, {"points": None, "boxes": BOX, "masks": None})
    _, decoder = components(lite_medsam)
    with torch.no_grad():
        swapped, _ = decoder.module(embeddings, BOX.reshape(1, 2, 2), BOX_LABELS.flip(1), MASK, torch.zeros(1))
    assert relative_error(masks, swapped) > MAX_RELATIVE_ERROR
