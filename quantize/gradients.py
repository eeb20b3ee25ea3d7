"""How much each layer matters to the masks: by how much the logits near their edges change with its output.

One pass backwards through both components for each picture, so that all layers are weighed by one measure. A
product with random signs stands in for each logit by itself: its square is the sum of theirs, on average.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from ..contract import Array, ComponentName
from ..models import Component, SamModel
from ..runtimes.preprocess import PreparedImage, prepare_image
from ..verify.pictures import Picture
from ..verify.prompt import Prompt, batched_feeds
from ..verify.prompts import random_boxes
from .layers import quantizable_layers

BOXES = 6

Gradients = dict[str, Tensor]


def mask_gradients(
    model: SamModel, parts: Sequence[Component], pictures: Sequence[Picture]
) -> Mapping[ComponentName, Gradients]:
    """Return the squared gradient of the masks by each output channel of each layer, [out] float64.

    Summed over positions, pictures and random boxes on them. Boxes come without a mask of their own.
    """
    encoder, decoder = (_frozen(part) for part in parts)
    found: dict[ComponentName, Gradients] = {"image_encoder": {}, "mask_decoder": {}}
    with _watched(encoder, found["image_encoder"]), _watched(decoder, found["mask_decoder"]):
        for picture in pictures:
            random = torch.Generator().manual_seed(int(picture.sha256[:8], 16))
            prepared = prepare_image(picture.image, model.variant.preprocessing)
            features = _named(parts[0], encoder(torch.from_numpy(prepared.tensor).requires_grad_()))
            feeds = _boxes(model, picture, prepared)
            # Some layers of the decoder see the prompt alone.
            prompts = {name: torch.from_numpy(value).requires_grad_() for name, value in feeds.items()}
            given = {**features, **prompts}
            outputs = _named(parts[1], decoder(*(given[name] for name in parts[1].contract.input_names)))
            torch.autograd.backward(_edges(model, outputs, random))
    return found


def _frozen(part: Component) -> nn.Module:
    return copy.deepcopy(part.module).requires_grad_(False).eval()


def _named(part: Component, outputs: Tensor | tuple[Tensor, ...]) -> Mapping[str, Tensor]:
    found = (outputs,) if isinstance(outputs, Tensor) else outputs
    return dict(zip(part.contract.output_names, found, strict=True))


def _boxes(model: SamModel, picture: Picture, prepared: PreparedImage) -> Mapping[str, Array]:
    """Return the decoder's prompt inputs for random boxes, all in one batch."""
    boxes = random_boxes(np.random.default_rng(int(picture.sha256[:16], 16)), prepared.original_hw, BOXES)
    prompts = [Prompt("harsh", "harsh box", box) for box in boxes]
    variant = model.variant
    ((_, feeds),) = batched_feeds(prompts, prepared, variant.preprocessing, variant.mask_rule, largest=BOXES)
    return feeds


def _edges(model: SamModel, outputs: Mapping[str, Tensor], random: torch.Generator) -> Tensor:
    """Return the sum of the masks' logits with random signs, those far from the edge fading out."""
    rule = model.variant.mask_rule
    tokens = [rule.single_mask_token, *rule.multimask_tokens]
    logits, ious = (outputs[name][:, tokens] for name in ("low_res_masks", "iou_predictions"))
    near = (rule.threshold - logits.detach()).abs().neg().exp()
    shares = near / near.sum((-1, -2), keepdim=True).clamp(min=1.0)
    return _signed(logits * shares.sqrt(), random).sum() + _signed(ious, random).sum()


def _signed(values: Tensor, random: torch.Generator) -> Tensor:
    return values * (torch.randint(0, 2, values.shape, generator=random) * 2 - 1)


@contextmanager
def _watched(module: nn.Module, found: Gradients) -> Iterator[None]:
    with ExitStack() as stack:
        for name, layer in quantizable_layers(module).items():
            stack.callback(layer.register_forward_hook(partial(_on_call, found, name)).remove)
        yield


def _on_call(found: Gradients, name: str, layer: nn.Module, _: Sequence[Tensor], output: Tensor) -> None:
    if output.requires_grad:
        axis = 1 if isinstance(layer, nn.Conv2d) else output.dim() - 1
        output.register_hook(partial(_add, found, name, axis))  # type: ignore[no-untyped-call]  # torch has no type


def _add(found: Gradients, name: str, axis: int, gradient: Tensor) -> None:
    others = tuple(index for index in range(gradient.dim()) if index != axis)
    squared = gradient.double().square().sum(others)
    found[name] = found[name] + squared if name in found else squared
