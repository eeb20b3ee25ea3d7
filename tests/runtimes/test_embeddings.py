"""Saving the current picture encoded, and answering on one that was encoded elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sam_export.contract import TensorSpec
from sam_export.errors import EmbeddingError, RequestError
from sam_export.models import SamModel
from sam_export.runtimes import Segmenter, open_bundle
from sam_export.runtimes.embedding_file import read_embedding, read_header, write_embedding
from sam_export.runtimes.embedding_key import EmbeddingKey
from sam_export.runtimes.selftest import mask_iou

from .embeddings import golden_embedding
from .exported import exported

BOX = (20.0, 10.0, 80.0, 50.0)


def test_answers_are_the_same_without_the_encoder(bundle: Path, picture: np.ndarray, tmp_path: Path) -> None:
    server, client = open_bundle(bundle), open_bundle(bundle)
    server.set_image(picture)
    path = tmp_path / "picture.semb"
    assert server.save_embedding(path) == path.stat().st_size
    for source in (path, str(path), path.read_bytes()):
        client.load_embedding(source)
        assert client.original_hw == (60, 100)
        assert np.array_equal(client.get_image_embedding(), server.get_image_embedding())
        for one, other in zip(client.predict(box=BOX), server.predict(box=BOX), strict=True):
            assert np.array_equal(one, other)
        client.reset_image()


@pytest.mark.parametrize(("dtype", "part"), [("fp16", 2), ("int8", 4)])
def test_smaller_dtypes(bundle: Path, picture: np.ndarray, tmp_path: Path, dtype: str, part: int) -> None:
    segmenter = open_bundle(bundle)
    segmenter.set_image(picture)
    exact = segmenter.get_image_embedding()
    segmenter.save_embedding(tmp_path / "picture.semb", dtype)
    segmenter.load_embedding(tmp_path / "picture.semb")
    found = segmenter.get_image_embedding()
    assert np.abs(found - exact).max() <= np.ptp(exact) / 255
    entry = read_header(tmp_path / "picture.semb").tensors[0]
    assert entry.bytes == exact.nbytes // part


def test_embeddings_of_other_weights(bundle: Path, tmp_path: Path) -> None:
    segmenter = open_bundle(bundle)
    write_embedding(tmp_path / "golden.semb", golden_embedding())
    with pytest.raises(EmbeddingError, match="of checkpoint 0123456789ab, this is a bundle of geometric"):
        segmenter.load_embedding(tmp_path / "golden.semb")


def test_embeddings_with_other_tensors() -> None:
    embedding = golden_embedding()
    specs = (TensorSpec("image_embeddings", (1, 5, 3, 7), "float32", ""),)
    key = EmbeddingKey("golden", embedding.checkpoint_sha256, specs)
    with pytest.raises(EmbeddingError, match=r"high_res_feats_0.* needs \{'image_embeddings'"):
        key.picture(embedding, "golden.semb")


def test_a_damaged_file_leaves_no_picture(bundle: Path, picture: np.ndarray, tmp_path: Path) -> None:
    segmenter = open_bundle(bundle)
    segmenter.set_image(picture)
    path = tmp_path / "picture.semb"
    segmenter.save_embedding(path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(EmbeddingError, match="payload's sha256"):
        segmenter.load_embedding(path)
    assert not segmenter.is_image_set
    with pytest.raises(EmbeddingError, match="No such file"):
        segmenter.load_embedding(tmp_path / "none.semb")
    with pytest.raises(EmbeddingError, match="embedding of 3 bytes: not an encoded picture"):
        segmenter.load_embedding(b"abc")


def test_what_is_needed(segmenter: Segmenter, bundle: Path, picture: np.ndarray, tmp_path: Path) -> None:
    segmenter.set_image(picture)
    with pytest.raises(RequestError, match="not opened from a bundle"):
        segmenter.save_embedding(tmp_path / "picture.semb")
    with pytest.raises(RequestError, match="call set_image first"):
        open_bundle(bundle).save_embedding(tmp_path / "picture.semb")
    opened = open_bundle(bundle)
    opened.set_image(picture)
    with pytest.raises(RequestError, match="dtype 'fp8': no such"):
        opened.save_embedding(tmp_path / "picture.semb", "fp8")  # type: ignore[arg-type]  # what is tested
    assert not (tmp_path / "picture.semb").exists()


def test_the_key_is_the_bundles(bundle: Path, picture: np.ndarray, tmp_path: Path) -> None:
    segmenter = open_bundle(bundle)
    segmenter.set_image(picture)
    segmenter.save_embedding(tmp_path / "picture.semb")
    found = read_embedding(tmp_path / "picture.semb")
    assert (found.model, found.checkpoint_sha256) == ("geometric", "0" * 64)


# About an object of the picture; LiteMedSAM answers to boxes.
OBJECTS = {
    "coins": [[250, 172, 296, 218], [255, 34, 297, 74], [189, 169, 237, 218], [20, 34, 64, 80]],
    "coffee": [[150, 50, 470, 330]],
}


def fitted(segmenter: Segmenter, box: list[int]) -> list[int]:
    """Return a box that fits the object as the model sees it, as the gate's stable prompts do."""
    for _ in range(3):
        y, x = np.nonzero(segmenter.predict(box=box, multimask_output=False).masks[0])
        box = [int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1]
    return box


@pytest.mark.slow
def test_int8_keeps_the_masks_of_trained_weights(lite_medsam: SamModel, tmp_path: Path) -> None:
    """About 1 MB a picture, and every mask within 0.997 of what the features themselves give."""
    import skimage.data

    segmenter = exported(lite_medsam, tmp_path)
    for name, boxes in OBJECTS.items():
        image = getattr(skimage.data, name)()
        segmenter.set_image(image if image.ndim == 3 else image[..., None].repeat(3, axis=-1))
        prompts = [fitted(segmenter, box) for box in boxes]
        exact = segmenter.predict_batch(boxes=prompts, multimask_output=False).masks
        assert segmenter.save_embedding(tmp_path / "picture.semb", "int8") < 1.1e6
        segmenter.load_embedding(tmp_path / "picture.semb")
        stored = segmenter.predict_batch(boxes=prompts, multimask_output=False).masks
        for one, other in zip(exact[:, 0], stored[:, 0], strict=True):
            assert one.any()
            assert mask_iou(one, other) >= 0.997
