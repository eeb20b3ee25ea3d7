"""Prompts of every kind, as SAM's own modules take them and as this project's decoders do, and what both answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sam_export.contract import PointLabel
from sam_export.models import Component

MAX_RELATIVE_ERROR = 1e-4
KINDS = ("point", "points", "box", "points and box", "box and mask", "points and mask", "several boxes")


@dataclass(frozen=True, eq=False)
class AskedTwice:
    """`upstream`: arguments of `PromptEncoder.forward`. `feeds`: coordinates, labels, mask, whether there is one."""

    upstream: Mapping[str, Tensor | tuple[Tensor, Tensor] | None]
    feeds: tuple[Tensor, Tensor, Tensor, Tensor]


def asked(kind: str, frame: int, mask_side: int) -> AskedTwice:
    """Return one of `KINDS` in a frame of that many pixels."""
    points = torch.tensor([[[0.2, 0.3], [0.7, 0.15], [0.5, 0.9]]])[:, : 1 if kind == "point" else 3] * frame
    labels = torch.tensor([[1.0, 0.0, 1.0]])[:, : points.shape[1]]
    boxes = torch.tensor([[0.1, 0.08, 0.7, 0.86], [0.3, 0.2, 0.4, 0.5], [0.0, 0.0, 1.0, 1.0]]) * frame
    boxes = boxes if kind == "several boxes" else boxes[:1]
    pointed, boxed, masked = "point" in kind, "box" in kind, "mask" in kind
    count = len(boxes) if boxed else 1
    mask = torch.randn(count, 1, mask_side, mask_side, generator=torch.Generator().manual_seed(3)) * 8
    coords, codes = [], []
    if pointed:
        coords.append(points), codes.append(labels)
    if boxed:
        corners = float(PointLabel.BOX_TOP_LEFT), float(PointLabel.BOX_BOTTOM_RIGHT)
        coords.append(boxes.reshape(-1, 2, 2)), codes.append(torch.tensor([corners]).expand(count, 2))
    else:
        coords.append(torch.zeros(1, 1, 2)), codes.append(torch.full((1, 1), float(PointLabel.PADDING)))
    return AskedTwice(
        {
            "points": (points, labels) if pointed else None,
            "boxes": boxes if boxed else None,
            "masks": mask if masked else None,
        },
        (torch.cat(coords, 1), torch.cat(codes, 1), mask, torch.full((count,), float(masked))),
    )


def relative_error(reference: Tensor, candidate: Tensor) -> float:
    """Return the largest difference by the largest value of the reference."""
    assert reference.shape == candidate.shape
    return float((reference - candidate).abs().max() / reference.abs().max())


def decoder_error(upstream: nn.Module, decoder: Component, embeddings: Tensor, question: AskedTwice) -> float:
    """Return the largest relative error of all masks and scores; `upstream` has SAM's three parts."""
    with torch.no_grad():
        sparse, dense = upstream.prompt_encoder(**question.upstream)
        masks, scores = upstream.mask_decoder.predict_masks(
            image_embeddings=embeddings,
            image_pe=upstream.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
        )
        low_res_masks, iou_predictions = decoder.module(embeddings, *question.feeds)
    return max(relative_error(masks, low_res_masks), relative_error(scores, iou_predictions))
