"""SAM 2's image encoder: any trunk with four stages, and the neck that makes three levels of features of them.

Attribute names are upstream's (facebookresearch/sam2 `modeling/backbones/image_encoder.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..contract import Normalisation
from .components import normaliser
from .sam2_decoder import Sam2MaskDecoder


class Lateral(nn.Module):
    """One stage's features, brought to the neck's channels."""

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, dim, 1)


class FpnNeck(nn.Module):
    """Features of four stages -> those of the three finest, [1, dim, S / stride, S / stride], finest first.

    `convs` stand coarsest first. Only the third level takes in a coarser one (upstream's `fpn_top_down_levels`).
    """

    def __init__(self, channels: Sequence[int], dim: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(Lateral(count, dim) for count in reversed(channels))

    def forward(self, stages: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        coarsest, coarse, finer, finest = (
            lateral(stage) for lateral, stage in zip(self.laterals(), reversed(stages), strict=True)
        )
        return finest, finer, coarse + F.interpolate(coarsest, scale_factor=2.0, mode="nearest")

    def laterals(self) -> list[nn.Conv2d]:
        """Return the convolutions, coarsest first."""
        return [level.conv for level in self.convs if isinstance(level, Lateral)]


class Sam2ImageEncoder(nn.Module):
    """image [1, 3, S, S] float32, normalised -> the three levels of the neck."""

    def __init__(self, trunk: nn.Module, channels: Sequence[int], dim: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.neck = FpnNeck(channels, dim)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        levels: tuple[Tensor, Tensor, Tensor] = self.neck(self.trunk(image))
        return levels


class Sam2EncoderComponent(nn.Module):
    """image [1, 3, S, S] float32 0..255 -> image_embeddings, high_res_feats_0, high_res_feats_1.

    Between a level's lateral convolution and the decoder's narrowing one there is nothing: they are one here, and the
    embedding that stands for an empty memory lies in a bias. At 1024 pixels that saves 2.6 GMAC of the tiny model's.
    """

    def __init__(
        self,
        trunk: nn.Module,
        neck: FpnNeck,
        decoder: Sam2MaskDecoder,
        no_memory: Tensor,
        normalisation: Normalisation,
    ) -> None:
        super().__init__()
        coarsest, coarse, finer, finest = neck.laterals()
        assert coarse.bias is not None
        self.normalise = normaliser(normalisation)
        self.trunk = trunk
        self.coarsest = coarsest
        self.coarse = _convolution(coarse.weight, coarse.bias + no_memory.flatten())
        self.finer = _joined(finer, decoder.conv_s1)
        self.finest = _joined(finest, decoder.conv_s0)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        finest, finer, coarse, coarsest = self.trunk(self.normalise(image))
        enlarged = F.interpolate(self.coarsest(coarsest), scale_factor=2.0, mode="nearest")
        return self.coarse(coarse) + enlarged, self.finest(finest), self.finer(finer)


def _joined(first: nn.Conv2d, second: nn.Conv2d) -> nn.Conv2d:
    """Return one 1x1 convolution that does what two do in turn."""
    assert first.bias is not None
    assert second.bias is not None
    outer, inner = second.weight.flatten(1).double(), first.weight.flatten(1).double()
    bias = outer @ first.bias.double() + second.bias.double()
    return _convolution((outer @ inner)[:, :, None, None].float(), bias.float())


def _convolution(weight: Tensor, bias: Tensor) -> nn.Conv2d:
    joined = nn.Conv2d(weight.shape[1], weight.shape[0], 1)
    with torch.no_grad():
        joined.weight, joined.bias = nn.Parameter(weight.detach()), nn.Parameter(bias.detach())
    return joined.requires_grad_(False)
