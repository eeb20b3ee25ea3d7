"""The Segmenter over exported graphs gives what upstream's predictor gives over the torch model."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from PIL import Image

from sam_export.exporters import export
from sam_export.models import SamModel, components
from sam_export.runtimes import Segmenter, open_session

FRAME, CELLS = 64, 64
PICTURES = {"wide": (48, 100), "thin": (120, 2)}
Given = Mapping[str, ArrayLike]


@pytest.fixture(scope="module", params=["onnx", "openvino"])
def segmenter(
    request: pytest.FixtureRequest, tiny_sam: SamModel, tmp_path_factory: pytest.TempPathFactory
) -> Segmenter:
    folder: Path = tmp_path_factory.mktemp(request.param)
    graphs = [export(component, request.param, "fp32", folder) for component in components(tiny_sam)]
    sessions = {
        graph.contract.component: open_session(graph.path, graph.contract, graph.target, graph.recipe)
        for graph in graphs
    }
    return Segmenter(sessions, tiny_sam.variant.preprocessing, tiny_sam.variant.mask_rule)


def predictor(model: SamModel, image: np.ndarray, given: Given) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Upstream's steps, written out: logits in the picture [4, H, W], IoUs [4], low-res logits [4, h, w]."""
    encoder, decoder = (component.module for component in components(model))
    height, width = image.shape[:2]
    scale = FRAME * 1.0 / max(height, width)
    new_height, new_width = int(height * scale + 0.5), int(width * scale + 0.5)
    resized = torch.from_numpy(
        np.array(Image.fromarray(image).resize((new_width, new_height), Image.Resampling.BILINEAR))
    ).float()
    padded = F.pad(
        resized.permute(2, 0, 1)[None], (0, FRAME - new_width, 0, FRAME - new_height), value=float(resized.min())
    )
    ratio = np.array([new_width / width, new_height / height])
    coords, labels = np.zeros((0, 2)), np.zeros(0)
    if "point_coords" in given:
        coords, labels = np.asarray(given["point_coords"]) * ratio, np.asarray(given["point_labels"])
    if "box" in given:
        coords = np.concatenate([coords, np.asarray(given["box"]).reshape(2, 2) * ratio])
        labels = np.concatenate([labels, [2, 3]])
    else:
        coords, labels = np.concatenate([coords, [[0, 0]]]), np.concatenate([labels, [-1]])
    mask = np.asarray(given.get("mask_input", np.zeros((1, CELLS, CELLS))))
    with torch.inference_mode():
        low_res, ious = decoder(
            encoder(padded),
            torch.from_numpy(coords[np.newaxis]).float(),
            torch.from_numpy(labels[np.newaxis]).float(),
            torch.from_numpy(mask[np.newaxis]).float(),
            torch.tensor([float("mask_input" in given)]),
        )
        in_frame = F.interpolate(low_res, (FRAME, FRAME), mode="bilinear", align_corners=False)
        logits = F.interpolate(
            in_frame[..., :new_height, :new_width], (height, width), mode="bilinear", align_corners=False
        )
    return logits[0], ious[0], low_res[0]


def prompts(height: int, width: int) -> dict[str, Given]:
    points = {"point_coords": [[0.3 * width, 0.6 * height], [0.8 * width, 0.1 * height]], "point_labels": [1, 0]}
    box = {"box": [0.1 * width, 0.2 * height, 0.9 * width, 0.7 * height]}
    mask = {"mask_input": np.random.default_rng(2).standard_normal((1, CELLS, CELLS)) * 4}
    return {
        "points": points,
        "box": box,
        "box and points": {**points, **box},
        "box and mask": {**box, **mask},
        "all at once": {**points, **box, **mask},
    }


@pytest.mark.parametrize("kind", list(prompts(1, 1)))
@pytest.mark.parametrize("shape", PICTURES.values(), ids=PICTURES)
def test_answers_are_upstreams(segmenter: Segmenter, tiny_sam: SamModel, shape: tuple[int, int], kind: str) -> None:
    image = np.random.default_rng(0).integers(20, 256, (*shape, 3), np.uint8)
    given = prompts(*shape)[kind]
    logits, ious, low_res = (tensor.numpy() for tensor in predictor(tiny_sam, image, given))
    segmenter.set_image(image)
    tolerance = 1e-3 * np.abs(low_res).max()
    for multimask_output, tokens in ((True, [1, 2, 3]), (False, [0])):
        found = segmenter.predict(**given, multimask_output=multimask_output, return_logits=True)
        assert np.abs(found.masks - logits[tokens]).max() < tolerance
        assert np.abs(found.low_res_masks - low_res[tokens]).max() < tolerance
        assert np.abs(found.iou_predictions - ious[tokens]).max() < 1e-3


def test_prompts_matter(segmenter: Segmenter) -> None:
    """Guards the test above against a model that ignores what it is asked."""
    segmenter.set_image(np.random.default_rng(0).integers(20, 256, (48, 100, 3), np.uint8))
    answers = [segmenter.predict(**given).low_res_masks for given in prompts(48, 100).values()]
    spread = np.abs(answers[0]).max()
    assert all(np.abs(one - other).max() > 1e-2 * spread for one, other in itertools.pairwise(answers))
