"""The sizes of SAM's prompt encoder and mask decoder."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DecoderConfig:
    """Sizes of prompt encoder and mask decoder. `embedding_size` is in cells, `frame_size` in pixels."""

    embedding_size: int
    frame_size: int
    dim: int = 256
    heads: int = 8
    depth: int = 2
    mlp_dim: int = 2048
    mask_channels: int = 16
    multimask_outputs: int = 3
