"""`.semb` files appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sam_export.errors import EmbeddingError, OutputError
from sam_export.runtimes.embedding_file import read_embedding, read_header, write_embedding

from .embeddings import CHECKPOINT, golden_embedding


def test_write_and_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "picture.semb"
    embedding = golden_embedding()
    assert write_embedding(path, embedding) == path.stat().st_size
    found = read_embedding(path)
    assert all(np.array_equal(found.features[name], feature) for name, feature in embedding.features.items())
    assert [entry.name for entry in path.parent.iterdir()] == ["picture.semb"]


def test_an_older_file_is_replaced_or_left(tmp_path: Path) -> None:
    path = tmp_path / "picture.semb"
    write_embedding(path, golden_embedding(), "int8")
    before = path.read_bytes()
    embedding = golden_embedding()
    embedding.features["image_embeddings"][0, 0, 0, 0] = np.nan
    with pytest.raises(EmbeddingError, match="NaN"):
        write_embedding(path, embedding)
    assert path.read_bytes() == before
    write_embedding(path, golden_embedding())
    assert path.read_bytes() != before
    assert len(list(tmp_path.iterdir())) == 1


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_embedding(tmp_path / "file" / "picture.semb", golden_embedding())


def test_the_header_alone(tmp_path: Path) -> None:
    path = tmp_path / "picture.semb"
    write_embedding(path, golden_embedding())
    header = read_header(path)
    assert header.checkpoint_sha256 == CHECKPOINT
    assert [entry.shape for entry in header.tensors] == [(1, 5, 3, 7), (1, 2, 4, 4)]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(EmbeddingError, match=r"damaged \(it has 1151 bytes, its header says 1152\)"):
        read_header(path)


def test_no_file(tmp_path: Path) -> None:
    for read in (read_embedding, read_header):
        with pytest.raises(EmbeddingError, match="No such file"):
            read(tmp_path / "nothing.semb")
        with pytest.raises(EmbeddingError, match="Is a directory"):
            read(tmp_path)


def test_a_file_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.semb"
    with path.open("wb") as stream:
        stream.truncate(2**29 + 1)  # sparse
    with pytest.raises(EmbeddingError, match="at most 536870912"):
        read_embedding(path)
