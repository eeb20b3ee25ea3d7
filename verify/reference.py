"""The reference: the plain torch module in fp32, called as upstream calls it.

Nothing of what an export re-authors takes part: pictures are normalised here, boxes and points are embedded by
the rows of upstream's tables instead of label codes, and the cells' positions come from the formula, not from
two small tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..contract import FloatArray, Normalisation
from ..models import SamModel, plain
from ..runtimes.postprocess import upsample
from ..runtimes.preprocess import PreparedImage, prepare_image, to_prompt_frame
from .pictures import Picture
from .prompt import Prompt, chosen_index

# ms for each prompt in PyTorch, batches of 1, 4, 16: 59, 59, 76; four need the fewest calls of the fast ones.
LARGEST_BATCH = 4


@dataclass(frozen=True, eq=False)
class EncodedReference:
    """A picture as the reference encoded it: the image encoder's outputs, float32, by the contract's names."""

    prepared: PreparedImage
    features: Mapping[str, FloatArray]


@dataclass(frozen=True, eq=False)
class Answer:
    """The reference's answer to one prompt: `low_res_masks` [M, h, w], `iou_predictions` [M], the chosen mask."""

    low_res_masks: FloatArray
    iou_predictions: FloatArray
    index: int


class TorchReference:
    """Runs a `SamModel` in fp32 on the CPU, picture by picture."""

    def __init__(self, model: SamModel) -> None:
        self.preprocessing, self.rule = model.variant.preprocessing, model.variant.mask_rule
        self._model = plain(model)
        self._prompt_encoder = self._model.prompt_encoder

    def encode(self, picture: Picture) -> EncodedReference:
        """Return the picture encoded."""
        prepared = prepare_image(picture.image, self.preprocessing)
        with torch.inference_mode():
            image = normalised(torch.from_numpy(prepared.tensor), self.preprocessing.normalisation)
            features = self._model.encode(image)
        return EncodedReference(prepared, {name: value.numpy() for name, value in features.items()})

    def answer(self, encoded: EncodedReference, prompts: Sequence[Prompt]) -> tuple[Answer, ...]:
        """Return the answer to each prompt, in their order."""
        found: dict[int, Answer] = {}
        with torch.inference_mode():
            features = {name: torch.from_numpy(value) for name, value in encoded.features.items()}
            image_pe = self._image_pe()
            sparse = [self._embed_points(prompt, encoded.prepared) for prompt in prompts]
            dense = [self._embed_mask(prompt) for prompt in prompts]
            for batch in _by_length(sparse):
                masks, ious = self._model.decode(features, image_pe, _stack(sparse, batch), _stack(dense, batch))
                for index, mask, iou in zip(batch, masks.numpy(), ious.numpy(), strict=True):
                    found[index] = Answer(mask.copy(), iou.copy(), chosen_index(prompts[index], mask, iou, self.rule))
        return tuple(found[index] for index in range(len(prompts)))

    def logits(self, encoded: EncodedReference, answer: Answer) -> FloatArray:
        """Return the chosen mask's logits in the picture, [H, W]."""
        logits: FloatArray = upsample(
            answer.low_res_masks[[answer.index]], encoded.prepared.original_hw, self.preprocessing, self.rule
        )[0]
        return logits

    def _embed_points(self, prompt: Prompt, prepared: PreparedImage) -> Tensor:
        """Return [N, dim]: points, then the box's corners, then padding points as the mask rule says.

        Source: `PromptEncoder.forward` (facebookresearch/segment-anything): table 0 is background, 1 foreground,
        2 and 3 are the corners.
        """
        corners = () if prompt.box is None else (prompt.box[:2], prompt.box[2:])
        coords = to_prompt_frame(
            np.array([*prompt.points, *corners], np.float64), prepared.original_hw, self.preprocessing
        )
        positions = self._prompt_encoder.pe_layer(torch.from_numpy(coords)[None])[0]
        tables = [table.get_parameter("weight")[0] for table in self._prompt_encoder.point_embeddings]
        rows = [tables[label] for label in prompt.labels] + tables[2 : 2 + len(corners)]
        embedded: Tensor = positions + torch.stack(rows)
        padding = self._prompt_encoder.not_a_point_embed.weight
        if self.rule.point_slots is not None:
            return torch.cat((embedded, padding.expand(self.rule.point_slots - len(embedded), -1)))
        if prompt.box is None or self.rule.padding_point == "always":
            embedded = torch.cat((embedded, padding))
        return embedded

    def _embed_mask(self, prompt: Prompt) -> Tensor:
        """Return [dim, E, E]."""
        side = self._prompt_encoder.pe_layer.embedding_size
        if prompt.mask_input is None:
            return self._prompt_encoder.no_mask_embed.weight.reshape(-1, 1, 1).expand(-1, side, side)
        embedded: Tensor = self._prompt_encoder.mask_downscaling(torch.from_numpy(prompt.mask_input)[None, None])[0]
        return embedded

    def _image_pe(self) -> Tensor:
        """Return the position of every cell's centre, [1, E * E, dim], row by row."""
        layer = self._prompt_encoder.pe_layer
        side = layer.embedding_size
        centres = 2 * ((torch.arange(side) + 0.5) / side) - 1
        y, x = torch.meshgrid(centres, centres, indexing="ij")
        phases = 2 * torch.pi * (torch.stack((x, y), dim=-1) @ layer.positional_encoding_gaussian_matrix)
        return torch.cat((phases.sin(), phases.cos()), dim=-1).reshape(1, side * side, -1)


def normalised(image: Tensor, how: Normalisation) -> Tensor:
    """Return [1, 3, S, S] as the encoder's weights want it."""
    if how.kind == "min_max":
        low = image.min()
        return (image - low) / (image.max() - low).clamp(min=1e-8)
    return (image - torch.tensor(how.mean).reshape(3, 1, 1)) / torch.tensor(how.std).reshape(3, 1, 1)


def _by_length(sparse: Sequence[Tensor]) -> list[list[int]]:
    groups: dict[int, list[int]] = {}
    for index, tokens in enumerate(sparse):
        groups.setdefault(len(tokens), []).append(index)
    return [
        members[start : start + LARGEST_BATCH]
        for members in groups.values()
        for start in range(0, len(members), LARGEST_BATCH)
    ]


def _stack(parts: Sequence[Tensor], batch: Sequence[int]) -> Tensor:
    return torch.stack([parts[index] for index in batch])
