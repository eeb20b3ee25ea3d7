"""Values of Core ML programs that no conversion of this project gives, but a quantizer may."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from coremltools.converters.mil import Builder as mb
from torch import Tensor, nn

from sam_export.contract import Graph, GraphContract, Recipe, TensorSpec
from sam_export.models.components import Component
from sam_export.verify.layers import layer_scores

from .mil.cases import IOS16
from .mil.packages import save_package

IMAGE = np.random.default_rng(5).normal(size=(1, 3, 4, 4)).astype(np.float32)


class Two(nn.Module):
    """image [1, 3, 4, 4] -> [1, 3, 4, 4]."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, image: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(image)))


@pytest.fixture(scope="module")
def component() -> Component:
    contract = GraphContract(
        "image_encoder",
        (TensorSpec("image", IMAGE.shape, "float32", "numbers"),),
        (TensorSpec("y0", IMAGE.shape, "float32", "numbers"),),
    )
    return Component(Two().eval().requires_grad_(False), contract, (torch.from_numpy(IMAGE),), ())


def graph(component: Component, folder: Path, *, wrong: float = 0.0) -> Graph:
    """The program with the first layer's bias, `wrong` too large, in an operation of its own."""
    values = {name: value.numpy() for name, value in component.module.state_dict().items()}

    def body(image: Any) -> Any:
        product = mb.linear(x=image, weight=values["first.weight"])
        added = mb.add(x=product, y=values["first.bias"] + np.float32(wrong))
        return mb.linear(x=mb.relu(x=added), weight=values["second.weight"], bias=values["second.bias"])

    path = save_package(folder / "two.mlpackage", body, {"image": IMAGE}, IOS16)
    return Graph(component.contract, "coreml", Recipe("fp32", "fp32", "fp32"), path, ())


def test_a_bias_in_an_operation_of_its_own_is_the_layers(component: Component, tmp_path: Path) -> None:
    scores = layer_scores(graph(component, tmp_path), component, {"image": IMAGE})
    assert {score.module for score in scores} == {"", "first", "second"}
    assert scores[0].snr_db > 100


def test_a_wrong_bias_is_the_layers(component: Component, tmp_path: Path) -> None:
    first, second, *_ = layer_scores(graph(component, tmp_path, wrong=0.5), component, {"image": IMAGE})
    assert first.module == "first"
    assert first.snr_db < 20
    assert second.snr_db > 100
