"""What is recorded of a PyTorch run, and that a convolution and its batch norm are compared as one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam_export.contract import GraphContract, TensorSpec
from sam_export.exporters import export
from sam_export.models.components import Component
from sam_export.verify.layer_reference import common_module, run_reference
from sam_export.verify.layers import layer_scores

from .faults import export_wrong, feeds


class Block(nn.Module):
    """x [1, C, H, W] -> [1, C', H, W]."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(channels, out, 3, padding=1), nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


class Net(nn.Module):
    """image [1, 3, 16, 16] -> [1, 4, 16, 16]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.body, self.head = Block(3, 8), Block(8, 8), nn.Conv2d(8, 4, 1)
        self.twice = nn.Identity()

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.twice(self.body(self.twice(self.stem(image / 255)))))


@pytest.fixture(scope="module")
def component() -> Component:
    torch.manual_seed(1)
    module = Net().eval().requires_grad_(False)
    for block in (module.stem, module.body):
        block.norm.running_mean.normal_()
        block.norm.running_var.uniform_(0.5, 2)
    contract = GraphContract(
        "image_encoder",
        (TensorSpec("image", (1, 3, 16, 16), "float32", "RGB, 0..255"),),
        (TensorSpec("image_embeddings", (1, 4, 16, 16), "float32", "features"),),
    )
    return Component(module, contract, (torch.rand(1, 3, 16, 16),), ())


def test_every_module_and_tensor_is_recorded(component: Component) -> None:
    found = run_reference(component, feeds(component))
    assert found.modules.keys() == {"", "stem", "stem.conv", "stem.norm", "body", "body.conv", "body.norm", "head"}
    assert [(call.kind, call.module) for call in found.calls][:3] == [
        ("conv", "stem.conv"),
        ("batch_norm", "stem.norm"),
        ("conv", "body.conv"),
    ]
    (scaled,), (activated,) = found.modules["stem"].inputs, found.modules["stem"].outputs
    (normed,) = found.modules["stem.norm"].outputs
    owners = [found.owners[id(tensor)] for tensor in (scaled, normed, activated)]
    assert owners == ["", "stem.norm", "stem"], "a tensor is of the module whose code makes it"
    assert found.outputs["image_embeddings"] is found.modules["head"].outputs[0]


def test_no_hook_is_left(component: Component) -> None:
    run_reference(component, feeds(component))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in component.module.modules())


@pytest.mark.parametrize("target", ["onnx", "openvino", pytest.param("coreml", marks=pytest.mark.slow)])
def test_a_convolution_with_a_batch_norm_is_one_layer(component: Component, tmp_path: Path, target: str) -> None:
    scores = layer_scores(export(component, target, "fp32", tmp_path), component, feeds(component))
    assert scores[0].snr_db > 100
    assert {"stem", "body", "head"} <= {score.module for score in scores}
    wrong = export_wrong(component, "body.norm.weight", target, tmp_path / "wrong")
    first, second, *_ = layer_scores(wrong, component, feeds(component))
    assert first.module == "body"
    assert second.snr_db > 100


def test_the_innermost_module_around_two() -> None:
    assert common_module(("a.b.c", "a.b.d")) == "a.b"
    assert common_module(("a.b", "a.b.d")) == "a.b"
    assert common_module(("a.bc", "a.bd")) == "a"
    assert common_module(("a", "b")) == ""
    assert common_module(("a.b",)) == "a.b"
