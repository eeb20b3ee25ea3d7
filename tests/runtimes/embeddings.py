"""Encoded pictures whose numbers are hard to store: what the files in `tests/goldens/semb` are made of."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from sam_export.contract import FloatArray
from sam_export.runtimes.embedding_format import Embedding, decode_embedding, encode_embedding
from sam_export.runtimes.embedding_tensors import DTYPES, EmbeddingDtype

GOLDENS = Path(__file__).parents[1] / "goldens" / "semb"
DTYPE_NAMES: tuple[EmbeddingDtype, ...] = ("fp32", "fp16", "int8")
CHECKPOINT = "0123456789abcdef" * 4
assert set(DTYPE_NAMES) == set(DTYPES)


def golden_embedding() -> Embedding:
    """Two tensors, the first of which does not end at a multiple of 64 bytes.

    Channels far from zero, of one number only, of tiny and of huge numbers, subnormal in fp16 and at its end.
    """
    rng = np.random.default_rng(11)
    embeddings: FloatArray = rng.standard_normal((1, 5, 3, 7)).astype(np.float32)
    embeddings[0, 1] = embeddings[0, 1] * 0.01 + 40
    embeddings[0, 2] = -2.5
    embeddings[0, 3, 0, :3] = 6e-8, -5.9e-6, 0.0
    embeddings[0, 4, 0, :2] = 65504.0, -65504.0
    features: FloatArray = np.linspace(-3, 9, 2 * 4 * 4, dtype=np.float32).reshape(1, 2, 4, 4)
    return Embedding(
        model="golden",
        checkpoint_sha256=CHECKPOINT,
        original_hw=(480, 641),
        features={"image_embeddings": embeddings, "high_res_feats_0": features},
        picture_sha256=CHECKPOINT[::-1],
    )


def write_goldens() -> None:
    """Write the golden files anew; for a new version of the format only."""
    GOLDENS.mkdir(parents=True, exist_ok=True)
    for dtype in DTYPE_NAMES:
        data = encode_embedding(golden_embedding(), dtype)
        (GOLDENS / f"{dtype}.semb").write_bytes(data)
        restored = decode_embedding(data, dtype)
        content = {
            "model": restored.model,
            "checkpoint_sha256": restored.checkpoint_sha256,
            "original_hw": restored.original_hw,
            "picture_sha256": restored.picture_sha256,
            "tensors": {
                name: {"shape": feature.shape, "values": feature.ravel().astype(np.float64).tolist()}
                for name, feature in restored.features.items()
            },
        }
        (GOLDENS / f"{dtype}.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    write_goldens()
