"""What is exported: wrappers that take and give exactly the tensors of the graph contract.

The loaded model is left untouched; a wrapper owns what the contract adds (normalisation, positions of the
image cells). `float32_modules` says what an fp16 graph must keep in fp32, whatever its target.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..contract import GraphContract, Normalisation, Recipe
from ..manifest import ModelCard
from .engine_attention import migrations as decoder_migrations
from .engine_decoder import EngineMaskDecoder, EnginePromptEncoder
from .layers import Migration
from .sam import MaskDecoder, PositionEncoding, PromptEncoder


@dataclass(frozen=True, eq=False)
class Component:
    """One graph to be: a module that takes and returns the contract's tensors, in its order.

    `float32_modules`: dotted names below `module` that stay fp32 in an fp16 graph. `float32_reasons`: why, by name, of
    those that were found to need it on these weights. `migrations`: for quantizers.
    `recipe`: what a quantizer made of the module; None for one that is as it was loaded. `card`: whose weights these
    are, for the file to say so; None for a module that is no model's.
    """

    module: nn.Module
    contract: GraphContract
    example_inputs: tuple[Tensor, ...]
    float32_modules: tuple[str, ...]
    migrations: tuple[Migration, ...] = ()
    recipe: Recipe | None = None
    card: ModelCard | None = None
    float32_reasons: Mapping[str, str] = field(default_factory=dict)


# Finds those of an image encoder below its wrapper.
Migrations = Callable[[nn.Module], Iterable[Migration]]
# Above it weights are never held as one piece of bytes: protobuf ends at 2 GiB, and memory at some multiple of it.
LARGE_BYTES = 10**9


def weights_bytes(module: nn.Module) -> int:
    """Return the bytes of a module's weights, those that parts share counted once."""
    tensors = {tensor.data_ptr(): tensor for tensor in (*module.parameters(), *module.buffers())}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


class MeanStd(nn.Module):
    """(image - mean) / std, constants per channel in units of 0..255.

    A picture is padded with the mean colour, which one of 8 bits a colour (Core ML's) holds only rounded: a pixel
    within half a level of it in all channels is taken for it, so that padding is zero, as upstream's. To a pixel of the
    picture itself that changes at most 0.01 standard deviations.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, float, float], std: tuple[float, float, float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).reshape(1, 3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        distance = image - self.mean
        is_padding = distance.abs().amax(1, keepdim=True) < 0.5
        # Not zeros_like: a trace stores those, 12.6 MB at 1024 px. coremltools takes a number in this place alone.
        return torch.where(is_padding, 0.0, distance) / self.std


class MinMax(nn.Module):
    """(image - min) / max(max - min, 1e-8) over the whole picture; a constant picture becomes zeros.

    Source: MedSAM, branch LiteMedSAM, `CVPR24_LiteMedSAM_infer.py`.
    """

    def forward(self, image: Tensor) -> Tensor:
        low, high = image.amin((1, 2, 3), keepdim=True), image.amax((1, 2, 3), keepdim=True)
        return (image - low) / (high - low).clamp(min=1e-8)


def normaliser(normalisation: Normalisation) -> nn.Module:
    if normalisation.kind == "min_max":
        return MinMax()
    assert normalisation.mean is not None
    assert normalisation.std is not None
    return MeanStd(normalisation.mean, normalisation.std)


class ImageEncoderComponent(nn.Module):
    """image [1, 3, S, S] float32 0..255 -> image_embeddings [1, 256, E, E]."""

    def __init__(self, encoder: nn.Module, normalisation: Normalisation) -> None:
        super().__init__()
        self.normalise = normaliser(normalisation)
        self.encoder = encoder

    def forward(self, image: Tensor) -> Tensor:
        embeddings: Tensor = self.encoder(self.normalise(image))
        return embeddings


class CellPositions(nn.Module):
    """Position of every embedding cell, [1, cells, dim]; a module of its own, so that a trace names its ops."""

    def __init__(self, pe_layer: PositionEncoding) -> None:
        super().__init__()
        self.pe_layer = pe_layer

    def forward(self) -> Tensor:
        return self.pe_layer.dense()


class MaskDecoderComponent(nn.Module):
    """Prompt encoder and mask decoder in one graph; tensors as in `decoder_contract`.

    The position of every image cell is computed from two small tables: stored expanded it would
    add 4 MB to each decoder, and an engine folds it when it loads the graph.
    """

    def __init__(self, prompt_encoder: PromptEncoder, mask_decoder: MaskDecoder) -> None:
        super().__init__()
        self.prompt_encoder = EnginePromptEncoder(prompt_encoder, mask_decoder.embedding_size)
        self.mask_decoder = EngineMaskDecoder(mask_decoder)
        self.cell_positions = CellPositions(prompt_encoder.pe_layer)

    def forward(
        self,
        image_embeddings: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
        mask_input: Tensor,
        has_mask_input: Tensor,
    ) -> tuple[Tensor, Tensor]:
        sparse = self.prompt_encoder.embed_points(point_coords, point_labels)
        dense = self.prompt_encoder.embed_cells(mask_input, has_mask_input)
        image_pe = self.cell_positions().to(image_embeddings.dtype)
        # Transposed as a grid: OpenVINO has fast code for that, and none for the same of a matrix.
        cells = image_embeddings.permute(0, 2, 3, 1).flatten(1, 2) + dense
        low_res_masks, iou_predictions = self.mask_decoder(cells, image_pe, sparse)
        return low_res_masks, iou_predictions


def no_migrations(_: nn.Module) -> Iterable[Migration]:
    """Convolutions are smoothed by no norm before them."""
    return ()


def image_encoder(
    module: nn.Module,
    contract: GraphContract,
    migrations: Migrations = no_migrations,
    float32_modules: tuple[str, ...] = (),
) -> Component:
    """Return the component of a wrapper with a `normalise`, which stays fp32 beside `float32_modules`."""
    module.eval()
    names = ("normalise", *float32_modules)
    return Component(module, contract, example_inputs(contract), names, tuple(migrations(module)))


def mask_decoder(
    module: nn.Module,
    contract: GraphContract,
    float32_modules: tuple[str, ...] = ("prompt_encoder.pe_layer", "cell_positions"),
) -> Component:
    """Return the component of a wrapper whose positions, `float32_modules`, stay fp32."""
    module.eval()
    return Component(module, contract, example_inputs(contract), float32_modules, tuple(decoder_migrations(module)))


def example_inputs(contract: GraphContract, *, batch: int = 2, points: int = 3) -> tuple[Tensor, ...]:
    """Return seeded inputs that use every label and both values of `has_mask_input`; for tracing."""
    generator = torch.Generator().manual_seed(0)
    sizes = {"B": batch, "N": points}
    shapes = [tuple(sizes[axis] if isinstance(axis, str) else axis for axis in spec.shape) for spec in contract.inputs]
    values = [torch.rand(shape, generator=generator) for shape in shapes]
    scales = {"image": 255.0, "point_coords": 64.0}
    scaled = [value * scales.get(spec.name, 1.0) for value, spec in zip(values, contract.inputs, strict=True)]
    discrete = {"point_labels": (-1, 4), "has_mask_input": (0, 2)}
    return tuple(
        torch.randint(*discrete[spec.name], value.shape, generator=generator).float()
        if spec.name in discrete
        else value
        for value, spec in zip(scaled, contract.inputs, strict=True)
    )
