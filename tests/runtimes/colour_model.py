"""A model that answers a point with what has its colour, nearby: many masks of real shapes, with holes and islands.

Written once in torch; upstream's package runs it as it is, in the places of its own encoders and decoder, and this
project's exporter makes the two graphs of it. Token k takes colours that differ by up to TOLERANCES[k].
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn
from torch.nn import functional

from sam_export.contract import GraphContract, MaskRule, Normalisation, Preprocessing, TensorSpec
from sam_export.exporters import export
from sam_export.models.components import Component, MeanStd
from sam_export.runtimes import Segmenter, open_session

FRAME, CELLS, MASK = 128, 32, 64
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
TOLERANCES = (0.5, 0.4, 0.7, 1.2)
GAIN, SLOPE = 8.0, 3.0

PREPROCESSING = Preprocessing(
    image_hw=(FRAME, FRAME),
    prompt_frame_hw=(FRAME, FRAME),
    fit="letterbox",
    filter="pillow_bilinear",
    padding="mean",
    normalisation=Normalisation("mean_std", MEAN, STD),
)
MASK_RULE = MaskRule(
    mask_hw=(MASK, MASK),
    single_mask_token=0,
    multimask_tokens=(1, 2, 3),
    padding_point="without_box",
    threshold=0.0,
    prompts=("point",),
)


class Encoder(nn.Module):
    """Normalised pictures [1, 3, FRAME, FRAME] to the mean colours of cells; `img_size` is what upstream reads."""

    img_size = FRAME

    def forward(self, image: Tensor) -> Tensor:
        return functional.avg_pool2d(image, FRAME // CELLS)


class Decoder(nn.Module):
    """The inputs and outputs of the mask decoder's contract. Only the first point counts."""

    def forward(
        self, embeddings: Tensor, coords: Tensor, labels: Tensor, mask_input: Tensor, has_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        cells = torch.arange(CELLS, dtype=torch.float32)
        x, y = (coords[:, :1] * CELLS / FRAME - 0.5).unbind(-1)  # [B, 1]
        across, down = (cells - x).abs(), (cells - y).abs()  # [B, CELLS]
        columns, rows = (1 - across).clamp(min=0), (1 - down).clamp(min=0)
        colour = rows[:, None, None] @ (embeddings @ columns[:, None, :, None])  # [B, 3, 1, 1]
        distance = (embeddings - colour).abs().mean(1, keepdim=True)  # [B, 1, CELLS, CELLS]
        reach = torch.maximum(down[:, None, :, None], across[:, None, None]) / CELLS
        tolerances = torch.tensor(TOLERANCES).reshape(1, 4, 1, 1)
        logits = GAIN * (tolerances - distance - SLOPE * reach) * labels[:, :1, None, None]
        ious = torch.tanh(logits.abs()).mean((2, 3))
        masks = functional.interpolate(logits, (MASK, MASK), mode="bilinear", align_corners=False)
        return masks + mask_input * has_mask.reshape(-1, 1, 1, 1), ious


class PromptEncoder(nn.Module):
    """In the place of upstream's: the points as they are."""

    def forward(self, points: tuple[Tensor, Tensor], boxes: None, masks: None) -> tuple[tuple[Tensor, Tensor], None]:
        return points, None

    def get_dense_pe(self) -> None:
        return None


class MaskDecoder(nn.Module):
    """In the place of upstream's."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = Decoder()

    def forward(
        self,
        image_embeddings: Tensor,
        image_pe: None,
        sparse_prompt_embeddings: tuple[Tensor, Tensor],
        dense_prompt_embeddings: None,
        multimask_output: bool,
    ) -> tuple[Tensor, Tensor]:
        coords, labels = sparse_prompt_embeddings
        batch = len(coords)
        no_mask = torch.zeros(batch, 1, MASK, MASK), torch.zeros(batch)
        masks, ious = self.decoder(image_embeddings, coords.float(), labels.float(), *no_mask)
        tokens = slice(1, None) if multimask_output else slice(0, 1)
        return masks[:, tokens], ious[:, tokens]


def upstream_colour_sam(modeling: ModuleType) -> nn.Module:
    """Return upstream's `Sam` around this model."""
    sam: nn.Module = modeling.Sam(Encoder(), PromptEncoder(), MaskDecoder(), list(MEAN), list(STD))
    return sam.eval()


def colour_segmenter(folder: Path) -> Segmenter:
    """Return a segmenter over the two exported graphs."""
    components = (
        Component(
            nn.Sequential(MeanStd(MEAN, STD), Encoder()), ENCODER_CONTRACT, (torch.rand(1, 3, FRAME, FRAME),), ()
        ),
        Component(Decoder(), DECODER_CONTRACT, _prompts(), ()),
    )
    graphs = [export(component, "onnx", "fp32", folder) for component in components]
    sessions = {
        graph.contract.component: open_session(graph.path, graph.contract, "onnx", graph.recipe) for graph in graphs
    }
    return Segmenter(sessions, PREPROCESSING, MASK_RULE)


def _spec(name: str, *shape: int | str) -> TensorSpec:
    return TensorSpec(name, shape, "float32", name)


def _prompts() -> tuple[Tensor, ...]:
    coords, labels = torch.rand(2, 3, 2) * FRAME, torch.ones(2, 3)
    return torch.rand(1, 3, CELLS, CELLS), coords, labels, torch.rand(2, 1, MASK, MASK), torch.ones(2)


EMBEDDINGS = _spec("image_embeddings", 1, 3, CELLS, CELLS)
ENCODER_CONTRACT = GraphContract("image_encoder", (_spec("image", 1, 3, FRAME, FRAME),), (EMBEDDINGS,))
DECODER_CONTRACT = GraphContract(
    "mask_decoder",
    (
        EMBEDDINGS,
        _spec("point_coords", "B", "N", 2),
        _spec("point_labels", "B", "N"),
        _spec("mask_input", "B", 1, MASK, MASK),
        _spec("has_mask_input", "B"),
    ),
    (_spec("low_res_masks", "B", 4, MASK, MASK), _spec("iou_predictions", "B", 4)),
)
