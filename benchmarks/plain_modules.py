"""Upstream's two graphs to be, as anyone would trace them: nothing of this project's export forms is in them.

The peer `plain` exports them, and PyTorch runs them, eager or compiled. Their tensors are the contract's, but that the
decoder's export takes one prompt, as upstream's does. What upstream's ONNX model does beyond that, the masks brought to
the picture's size, is left out in the baseline's favour.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..contract import Array, ComponentName, EngineReport, GraphContract
from ..models import PlainModel, SamModel, components, plain
from ..models.components import normaliser


class PlainEncoder(nn.Module):
    """image [1, 3, S, S] float32 0..255 -> the contract's outputs, in its order."""

    def __init__(self, model: SamModel, contract: GraphContract) -> None:
        super().__init__()
        self.model = model.module
        self.normalise = normaliser(model.variant.preprocessing.normalisation)
        self._steps, self._names = plain(model), contract.output_names

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        features = self._steps.encode(self.normalise(image))
        return tuple(features[name] for name in self._names)


class PlainDecoder(nn.Module):
    """The contract's inputs, in its order -> low_res_masks, iou_predictions."""

    def __init__(self, model: SamModel, contract: GraphContract) -> None:
        super().__init__()
        self.model = model.module
        self._steps, self._names = plain(model), contract.input_names

    def forward(self, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        given = dict(zip(self._names, tensors, strict=True))
        prompts = self._steps.prompt_encoder
        sparse = prompts.embed_points(given.pop("point_coords"), given.pop("point_labels"))
        dense = self._dense(self._steps, given, len(sparse))
        return self._steps.decode(given, prompts.pe_layer.dense(), sparse, dense)

    @staticmethod
    def _dense(steps: PlainModel, given: dict[str, Tensor], prompts: int) -> Tensor:
        if "mask_input" in given:
            return steps.prompt_encoder.embed_masks(given.pop("mask_input"), given.pop("has_mask_input"))
        side = given["image_embeddings"].shape[-1]
        return steps.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1).expand(prompts, -1, side, side)


def plain_modules(model: SamModel) -> dict[ComponentName, tuple[nn.Module, GraphContract]]:
    """Return both modules with their contracts; the decoder's has no outputs that upstream's form does not give."""
    encoder, decoder = (part.contract for part in components(model))
    outputs = tuple(spec for spec in decoder.outputs if spec.name in ("low_res_masks", "iou_predictions"))
    decoder = GraphContract(decoder.component, decoder.inputs, outputs)
    return {
        "image_encoder": (PlainEncoder(model, encoder).eval(), encoder),
        "mask_decoder": (PlainDecoder(model, decoder).eval(), decoder),
    }


class PlainSession:
    """One of the modules as PyTorch runs it; satisfies `contract.Session`."""

    def __init__(self, module: nn.Module, contract: GraphContract, *, compiled: bool) -> None:
        self._run = torch.compile(module) if compiled else module
        self._contract, self._compiled = contract, compiled

    @property
    def report(self) -> EngineReport:
        how = "torch.compile, inductor" if self._compiled else "eager"
        return EngineReport("PyTorch", str(torch.__version__), how, "fp32", torch.get_num_threads(), {})

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        with torch.inference_mode():
            outputs = self._run(*(torch.from_numpy(feeds[name]) for name in self._contract.input_names))
        return {name: value.numpy() for name, value in zip(self._contract.output_names, outputs, strict=True)}
