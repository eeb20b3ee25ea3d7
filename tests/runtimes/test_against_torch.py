"""The Segmenter over exported graphs gives what upstream's predictor gives over the torch model."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from sam_export.exporters import export
from sam_export.models import SamModel, components
from sam_export.runtimes import Segmenter, open_session

from .torch_predictor import Given, predictor

pytestmark = pytest.mark.slow

FRAME, CELLS = 64, 64
PICTURES = {"wide": (48, 100), "thin": (120, 2)}


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
