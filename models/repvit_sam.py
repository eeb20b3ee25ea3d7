"""RepViT-SAM and EdgeSAM: a RepViT under its authors' names, with SAM's prompt encoder and mask decoder.

Sources: THU-MIG/RepViT `sam/repvit_sam/modeling/repvit.py`; chongzhou96/EdgeSAM `edge_sam/modeling/rep_vit.py`. In the
graph, batch norms lie in their convolutions, and the three branches of a token mixer are one depthwise convolution.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from .components import Component
from .conv_norm import ConvBatchNorm
from .layers import BicubicUpsample, neck
from .repvit import RepVggDw, SqueezeExcite
from .repvit_engine import engine_form
from .sam_family import SamModule, sam_components
from .variants import Variant

EXPANSION = 2


@dataclass(frozen=True)
class RepVitSamConfig:
    """Sizes of four stages. `depths`: blocks that alternate with and without squeeze and excitation, the first with.

    `fuses`: EdgeSAM's neck, which adds the last stage, of half the size, to the one before. RepViT-SAM's last stage
    keeps the size instead. `point_norm`: as in `RepVitConfig`.
    """

    image_size: int
    channels: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    fuses: bool
    point_norm: bool
    out_channels: int = 256

    @property
    def embedding_size(self) -> int:
        """Side of the image embedding, in cells."""
        return self.image_size // 16


class Residual(nn.Module):
    def __init__(self, m: nn.Module) -> None:
        super().__init__()
        self.m = m

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.m(x)
        return out


class RepVitEncoder(nn.Module):
    """Image encoder. image [1, 3, S, S] float32, normalised -> image_embeddings [1, out_channels, S / 16, S / 16]."""

    def __init__(self, config: RepVitSamConfig) -> None:
        super().__init__()
        self.config = config
        self.features = nn.ModuleList(_features(config))
        out, (coarse, last) = config.out_channels, config.channels[2:]
        if config.fuses:
            self.fuse_stage2 = nn.Conv2d(coarse, out, 1, bias=False)
            side = config.embedding_size
            widened = nn.Sequential(nn.Conv2d(last, out, 1, bias=False), BicubicUpsample(side // 2, side))
            self.fuse_stage3 = nn.Sequential(OrderedDict(op_list=widened))
        self.neck = neck(out if config.fuses else last, out)

    def forward(self, image: Tensor) -> Tensor:
        x, before_last = image, 1 + sum(_lengths(self.config)[:3])
        for part in self.features[:before_last]:
            x = part(x)
        coarse = x
        for part in self.features[before_last:]:
            x = part(x)
        fused = self.fuse_stage2(coarse) + self.fuse_stage3(x) if self.config.fuses else x
        embeddings: Tensor = self.neck(fused)
        return embeddings


class RepVitSam(SamModule):
    image_encoder: RepVitEncoder

    def __init__(self, variant: Variant) -> None:
        assert isinstance(variant.encoder, RepVitSamConfig)
        super().__init__(RepVitEncoder(variant.encoder), variant)


def components(module: nn.Module, variant: Variant) -> tuple[Component, Component]:
    """Return image encoder and mask decoder, ready to be traced."""
    assert isinstance(module, RepVitSam)
    return sam_components(module, engine_form(module.image_encoder), variant)


def _lengths(config: RepVitSamConfig) -> tuple[int, ...]:
    """Return how many blocks each stage has: all but the first begin with a widening, all but the last end plain."""
    last = len(config.depths) - 1
    return tuple(depth + (stage > 0) + (stage < last) for stage, depth in enumerate(config.depths))


def _features(config: RepVitSamConfig) -> Iterator[nn.Module]:
    width = config.channels[0]
    stem = ConvBatchNorm((3, width // 2), 3, stride=2), nn.GELU(), ConvBatchNorm((width // 2, width), 3, stride=2)
    yield nn.Sequential(*stem)
    last = len(config.depths) - 1
    for stage, (channels, depth) in enumerate(zip(config.channels, config.depths, strict=True)):
        if stage:
            yield _widening((width, channels), stride=1 if stage == last and not config.fuses else 2)
        width = channels
        for index in range(depth):
            yield _block(width, excites=index % 2 == 0, point_norm=config.point_norm)
        if stage < last:
            yield _block(width, excites=False, point_norm=config.point_norm)


def _block(channels: int, *, excites: bool, point_norm: bool) -> nn.Module:
    excitation = SqueezeExcite(channels) if excites else nn.Identity()
    return _mixers((RepVggDw(channels, point_norm=point_norm), excitation), channels)


def _widening(channels: tuple[int, int], *, stride: int) -> nn.Module:
    before, after = channels
    spatial = ConvBatchNorm((before, before), 3, stride=stride, groups=before)
    return _mixers((spatial, nn.Identity(), ConvBatchNorm((before, after), 1)), after)


def _mixers(tokens: tuple[nn.Module, ...], channels: int) -> nn.Module:
    hidden = channels * EXPANSION
    perceptron = ConvBatchNorm((channels, hidden), 1), nn.GELU(), ConvBatchNorm((hidden, channels), 1)
    mixers = OrderedDict(token_mixer=nn.Sequential(*tokens), channel_mixer=Residual(nn.Sequential(*perceptron)))
    return nn.Sequential(mixers)
