"""Upstream's predictor written out over the torch model, one step after the other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from PIL import Image

from sam_export.models import SamModel, components

Given = Mapping[str, ArrayLike]


def predictor(model: SamModel, image: np.ndarray, given: Given) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Upstream's steps, written out: logits in the picture [4, H, W], IoUs [4], low-res logits [4, h, w]."""
    encoder, decoder = (component.module for component in components(model))
    frame, cells = model.variant.preprocessing.image_hw[0], model.variant.mask_rule.mask_hw
    height, width = image.shape[:2]
    scale = frame * 1.0 / max(height, width)
    new_height, new_width = int(height * scale + 0.5), int(width * scale + 0.5)
    resized = torch.from_numpy(
        np.array(Image.fromarray(image).resize((new_width, new_height), Image.Resampling.BILINEAR))
    ).float()
    padded = F.pad(
        resized.permute(2, 0, 1)[None], (0, frame - new_width, 0, frame - new_height), value=float(resized.min())
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
    mask = np.asarray(given.get("mask_input", np.zeros((1, *cells))))
    with torch.inference_mode():
        low_res, ious = decoder(
            encoder(padded),
            torch.from_numpy(coords[np.newaxis]).float(),
            torch.from_numpy(labels[np.newaxis]).float(),
            torch.from_numpy(mask[np.newaxis]).float(),
            torch.tensor([float("mask_input" in given)]),
        )
        in_frame = F.interpolate(low_res, (frame, frame), mode="bilinear", align_corners=False)
        logits = F.interpolate(
            in_frame[..., :new_height, :new_width], (height, width), mode="bilinear", align_corners=False
        )
    return logits[0], ious[0], low_res[0]
