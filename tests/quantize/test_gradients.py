"""Gradients of the masks: what they predict of a disturbed layer is what its disturbance does."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from sam_export.contract import ComponentName
from sam_export.models import SamModel, components
from sam_export.quantize.calibration import encoder_feeds
from sam_export.quantize.gradients import Gradients, mask_gradients
from sam_export.quantize.layers import quantizable_layers
from sam_export.verify.pictures import picture_set

PICTURES = picture_set("calibration")[:2]


@pytest.fixture(scope="module")
def gradients(tiny_sam: SamModel) -> dict[ComponentName, Gradients]:
    return dict(mask_gradients(tiny_sam, components(tiny_sam), PICTURES))


def test_every_layer_is_weighed(tiny_sam: SamModel, gradients: dict[ComponentName, Gradients]) -> None:
    for part in components(tiny_sam):
        layers, found = quantizable_layers(part.module), gradients[part.contract.component]
        assert set(found) == set(layers)
        assert all(found[name].shape == (len(layers[name].weight),) for name in found)
        # Boxes come without a mask of their own.
        assert all((found[name] > 0).any() == ("mask_downscaling" not in name) for name in found)


def test_they_are_the_same_every_time_and_leave_the_model_alone(
    tiny_sam: SamModel, gradients: dict[ComponentName, Gradients]
) -> None:
    parts = components(tiny_sam)
    before = copy.deepcopy(parts[0].module.state_dict())
    again = mask_gradients(tiny_sam, parts, PICTURES)
    assert all(torch.equal(again[part][name], values) for part in gradients for name, values in gradients[part].items())
    assert all(torch.equal(before[name], values) for name, values in parts[0].module.state_dict().items())
    assert all(parameter.grad is None for part in parts for parameter in part.module.parameters())


def test_what_they_predict_is_what_noise_does(tiny_sam: SamModel, gradients: dict[ComponentName, Gradients]) -> None:
    """Noise of one variance on every layer's output, one at a time: those with the larger gradients move the embedding
    that the masks are made of further."""
    encoder, _ = components(tiny_sam)
    names = [name for name in quantizable_layers(encoder.module) if name.endswith(("fc1", "fc2", "conv1", "conv3"))]
    predicted = torch.tensor([float(gradients["image_encoder"][name].sum()) for name in names])
    measured = torch.tensor(list(moved(encoder.module, names, tiny_sam)))
    ranks = torch.stack([predicted.argsort().argsort(), measured.argsort().argsort()]).double()
    assert torch.corrcoef(ranks)[0, 1] > 0.7


def moved(module: nn.Module, names: list[str], model: SamModel) -> Iterator[float]:
    """Yield how far each layer's noise moves the embeddings."""
    with torch.no_grad():
        feeds = list(encoder_feeds(model, PICTURES))
        for name in names:
            generator = torch.Generator().manual_seed(0)
            clean = [module(*feed) for feed in feeds]

            def disturb(_: nn.Module, __: object, y: Tensor, generator: torch.Generator = generator) -> Tensor:
                return y + 1e-3 * torch.randn(y.shape, generator=generator)

            handle = module.get_submodule(name).register_forward_hook(disturb)
            noisy = [module(*feed) for feed in feeds]
            handle.remove()
            yield sum(float((a - b).square().sum()) for a, b in zip(clean, noisy, strict=True))
