"""Prompts of every kind in a frame, as tensors, and what the mask decoder component is fed for them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sam_export.contract import PointLabel


@dataclass(frozen=True, eq=False)
class PromptCase:
    """B prompts: points [B, N, 2] with labels [B, N], boxes [B, 4], masks [B, 1, h, w]."""

    points: Tensor | None = None
    labels: Tensor | None = None
    boxes: Tensor | None = None
    masks: Tensor | None = None

    @property
    def batch(self) -> int:
        first = self.points if self.points is not None else self.boxes
        assert first is not None
        return len(first)

    def labelled(self, *, padding: bool) -> tuple[Tensor, Tensor]:
        """Return points, then corners, then a padding point if asked for: coordinates [B, N', 2], labels [B, N']."""
        coords, labels = [], []
        if self.points is not None and self.labels is not None:
            coords.append(self.points)
            labels.append(self.labels)
        if self.boxes is not None:
            corners = [float(PointLabel.BOX_TOP_LEFT), float(PointLabel.BOX_BOTTOM_RIGHT)]
            coords.append(self.boxes.reshape(-1, 2, 2))
            labels.append(torch.tensor([corners]).expand(self.batch, 2))
        if padding:
            coords.append(torch.zeros(self.batch, 1, 2))
            labels.append(torch.full((self.batch, 1), float(PointLabel.PADDING)))
        return torch.cat(coords, 1), torch.cat(labels, 1)

    def feeds(self, mask_hw: tuple[int, int], *, padding: bool) -> tuple[Tensor, ...]:
        """Return point_coords, point_labels, mask_input and has_mask_input."""
        masks = torch.zeros(self.batch, 1, *mask_hw) if self.masks is None else self.masks
        return (*self.labelled(padding=padding), masks, torch.full((self.batch,), float(self.masks is not None)))


def prompt_cases(frame: int, mask_side: int) -> dict[str, PromptCase]:
    """Return a case of each kind in a frame of that many pixels."""
    points = torch.tensor([[[0.31, 0.42], [0.77, 0.2]]]) * frame
    labels = torch.tensor([[1.0, 0.0]])
    box = torch.tensor([[0.12, 0.1, 0.8, 0.93]]) * frame
    mask = torch.randn(1, 1, mask_side, mask_side, generator=torch.Generator().manual_seed(3)) * 8
    shifts = torch.tensor([0.0, 0.05, 0.11]) * frame
    return {
        "points": PromptCase(points, labels),
        "box": PromptCase(boxes=box),
        "box_and_points": PromptCase(points, labels, box),
        "points_and_mask": PromptCase(points, labels, masks=mask),
        "box_and_mask": PromptCase(boxes=box, masks=mask),
        "three_boxes": PromptCase(boxes=box - shifts[:, None]),
        "three_points": PromptCase(points[:, :1] + shifts[:, None, None], labels[:, :1].expand(3, 1)),
    }
