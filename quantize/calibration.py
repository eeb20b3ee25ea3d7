"""What layers are observed on: each component's real inputs on the calibration pictures, never on an evaluation one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..contract import Array
from ..models import Component, SamModel
from ..runtimes.preprocess import prepare_image
from ..verify.pictures import Picture
from ..verify.prompt import batched_feeds
from ..verify.prompts import Canvas, draw
from ..verify.reference import TorchReference

PROMPTS_AT_ONCE = 2


@dataclass(frozen=True, eq=False)
class Calibration:
    """Pictures, and the model whose components are fed with them. `feeds` reads them anew each time."""

    model: SamModel
    pictures: tuple[Picture, ...]

    def feeds(self, component: Component) -> Iterator[tuple[Tensor, ...]]:
        """Yield the inputs of one component, in its contract's order."""
        if component.contract.component == "image_encoder":
            return encoder_feeds(self.model, self.pictures)
        return decoder_feeds(self.model, self.pictures, component.contract.input_names)


def encoder_feeds(model: SamModel, pictures: Sequence[Picture]) -> Iterator[tuple[Tensor, ...]]:
    """Yield `image` [1, 3, S, S] of each picture."""
    for picture in pictures:
        yield (torch.from_numpy(prepare_image(picture.image, model.variant.preprocessing).tensor),)


def decoder_feeds(model: SamModel, pictures: Sequence[Picture], names: tuple[str, ...]) -> Iterator[tuple[Tensor, ...]]:
    """Yield what the reference's encoder gives, with boxes, points, both, and masks fed back, a few prompts at once."""
    reference = TorchReference(model)
    for picture in pictures:
        encoded = reference.encode(picture)
        cases = draw(picture, Canvas(reference, encoded), trained=False, parity=True)
        for _, feeds in batched_feeds(
            [case.prompt for case in cases],
            encoded.prepared,
            model.variant.preprocessing,
            model.variant.mask_rule,
            largest=PROMPTS_AT_ONCE,
        ):
            given: Mapping[str, Array] = {**encoded.features, **feeds}
            yield tuple(torch.from_numpy(given[name]) for name in names)
