"""Bundles whose graphs are good and whose manifest is not: opened, tested, and asked for a mask."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sam_export.errors import BundleError, SamExportError
from sam_export.manifest import MANIFEST_NAME, encode_manifest, read_manifest
from sam_export.runtimes import open_bundle

from ..runtimes import geometric_model as model
from ..runtimes.conftest import write_geometric_bundle
from .mutations import misleading
from .test_parsers import require_own_error, try_many

PICTURE = np.random.default_rng(0).integers(0, 256, (60, 100, 3), np.uint8)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    model.save_encoder(folder / "image_encoder.onnx")
    model.save_decoder(folder / "mask_decoder.onnx")
    mask = np.zeros((60, 100), np.bool_)
    mask[10:50, 20:80] = True
    return write_geometric_bundle(folder, PICTURE, mask, folder / "dist")


def use(bundle: Path) -> None:
    segmenter = open_bundle(bundle)
    segmenter.set_image(PICTURE)
    for multimask_output in (True, False):
        segmenter.predict(box=[20, 10, 80, 50], multimask_output=multimask_output)
    segmenter.predict(point_coords=[[50, 30]], point_labels=[1], return_logits=True)
    segmenter.selftest()


@try_many
@given(data=st.data())
def test_misleading_manifests(good: Path, data: st.DataObject) -> None:
    original = (good / MANIFEST_NAME).read_bytes()
    try:
        (good / MANIFEST_NAME).write_bytes(data.draw(misleading(original)))
        require_own_error(lambda: use(good), SamExportError, "bundle")
    finally:
        (good / MANIFEST_NAME).write_bytes(original)


def without(document: Any, name: str) -> None:
    for graph in document["variants"][0]["graphs"].values():
        graph["contract"]["outputs"] = [spec for spec in graph["contract"]["outputs"] if spec["name"] != name]


MISLED: dict[str, tuple[Callable[[Any], object], str]] = {
    "a-mask-that-is-not-there": (lambda doc: doc["mask_rule"].update(single_mask_token=9), "mask 9 of 4"),
    "no-predictions": (lambda doc: without(doc, "iou_predictions"), r"mask_decoder has iou_predictions \[\]"),
    "no-embeddings": (lambda doc: without(doc, "image_embeddings"), r"image_encoder has image_embeddings \[\]"),
    "another-frame": (lambda doc: doc["preprocessing"].update(image_hw=[32, 64]), r"say \[1, 3, 32, 64\]"),
    "masks-of-another-size": (lambda doc: doc["mask_rule"].update(mask_hw=[64, 64]), r"say \['B', 'M', 64, 64\]"),
}


@pytest.mark.parametrize(("mislead", "reason"), MISLED.values(), ids=MISLED)
def test_what_answers_are_made_of_is_there(good: Path, mislead: Callable[[Any], object], reason: str) -> None:
    original = (good / MANIFEST_NAME).read_bytes()
    document = json.loads(original)
    mislead(document)
    try:
        (good / MANIFEST_NAME).write_text(json.dumps(document))
        with pytest.raises(BundleError, match=reason):
            open_bundle(good)
    finally:
        (good / MANIFEST_NAME).write_bytes(original)


def test_the_good_one_is_used(good: Path) -> None:
    assert encode_manifest(replace(read_manifest(good))) == (good / MANIFEST_NAME).read_bytes()
    use(good)
