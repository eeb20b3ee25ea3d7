"""Which GELU a Core ML program has: the exact one and its tanh form differ by up to 5e-4."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sam_export.contract import GraphContract, TensorSpec
from sam_export.exporters.coreml import CoreMl
from sam_export.exporters.target import ExportOptions
from sam_export.models import Component
from sam_export.verify.mil.session import MilSession

SHAPE = (1, 3, 16, 16)
CONTRACT = GraphContract(
    "image_encoder",
    (TensorSpec("image", SHAPE, "float32", "pixels"),),
    (TensorSpec("image_embeddings", SHAPE, "float32", "activated"),),
)


class Activated(nn.Module):
    """GELU of -4 to 4."""

    def __init__(self, approximate: str) -> None:
        super().__init__()
        self.act = nn.GELU(approximate)

    def forward(self, image: Tensor) -> Tensor:
        activated: Tensor = self.act(image / 32 - 4)
        return activated


@pytest.mark.slow
@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_the_form_that_was_asked_for(approximate: str, tmp_path: Path) -> None:
    image = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE) % 256
    module = Activated(approximate).eval()
    component = Component(module, CONTRACT, (torch.from_numpy(image),), ())
    graph = CoreMl().export(component, "fp32", tmp_path, ExportOptions())
    found = MilSession(graph.path, CONTRACT).run({"image": image})["image_embeddings"]
    assert np.abs(found - module(torch.from_numpy(image)).numpy()).max() < 1e-5
