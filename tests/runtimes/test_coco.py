"""The JSON is read back with pycocotools itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from sam_export.runtimes.coco import ScoredMask, coco_document


@pytest.fixture
def masks() -> list[np.ndarray]:
    rectangle = np.zeros((40, 70), bool)
    rectangle[5:25, 10:60] = True
    noise = np.random.default_rng(0).random((40, 70)) > 0.5
    return [rectangle, noise, np.zeros((40, 70), bool)]


# pycocotools 2.0.11 decodes through an `__array__` of the days before numpy 2; encoding, which is ours, is quiet.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_masks_survive_the_round_trip(
    masks: list[np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = coco_document("coffee.png", (40, 70), [ScoredMask(mask, 0.5) for mask in masks])
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(document))
    read = COCO(str(path))
    assert read.imgs[1] == {"id": 1, "file_name": "coffee.png", "height": 40, "width": 70}
    annotations = read.loadAnns(read.getAnnIds(imgIds=[1], catIds=read.getCatIds(catNms=["object"])))
    assert [annotation["id"] for annotation in annotations] == [1, 2, 3]
    for annotation, mask in zip(annotations, masks, strict=True):
        assert np.array_equal(read.annToMask(annotation).astype(bool), mask)
        assert annotation["area"] == mask.sum()
    assert annotations[0]["bbox"] == [10, 5, 50, 20]
    assert annotations[0]["score"] == 0.5
    assert capsys.readouterr().out  # pycocotools talks
