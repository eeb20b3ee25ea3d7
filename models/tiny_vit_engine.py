"""TinyViT in the form that engines run fastest, made from a loaded `TinyVit`; exact, but for the rounding of fp32.

What differs, and what it saves (share of the encoder's time, OpenVINO in bf16 on one core, before and after):
- batch norms lie in their convolutions;
- q, k and v are projections of their own, so that nothing is split after the heads are (4 % -> 0), the scale of q lies
  in its weights, and two biases are gone: that of k adds the same to every logit of a query, which softmax ignores,
  and that of v adds itself to every output, so it lies in the bias that follows;
- what fills up windows is left out again before the last projection of attention, not after it;
- a picture's cells are [1, H * W, C] between convolutions, and [1, H, W, C] only to be permuted: with four axes all
  the way, OpenVINO keeps them in another order than the next op wants (transposes and reorders: 20 % -> 5 %).
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn import functional as F

from .conv_norm import fold_batch_norm, folded
from .engine_layers import EngineNeck, Windows, linear, pointwise_linear, to_cells, to_grid
from .layers import Migration
from .tiny_vit import (
    HEAD_DIM,
    AttentionStage,
    ConvStage,
    PatchMerging,
    TinyVit,
    TinyVitBlock,
    WindowAttention,
)


class EngineTinyVit(nn.Module):
    """Image encoder. image [1, 3, S, S] float32, normalised -> [1, 256, S', S'], as `TinyVit`."""

    def __init__(self, source: TinyVit) -> None:
        super().__init__()
        self.patch_embed = folded(source.patch_embed.seq)
        side = source.config.image_size // source.config.patch_stride**2
        stages: list[nn.Module] = []
        for stage, stride in zip(source.layers, (*source.config.merge_strides, 1), strict=True):
            stages.append(_stage(stage, side))
            side //= stride
        self.layers = nn.ModuleList(stages)
        self.neck = EngineNeck(source.neck, side)

    def forward(self, image: Tensor) -> Tensor:
        return self.stages(image)[1]

    def stages(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the second stage gives, [1, C, E, E], and the image embeddings."""
        early = self.layers[1](self.layers[0](self.patch_embed(image)))
        x = early
        for stage in self.layers[2:]:
            x = stage(x)
        return to_grid(early, self.neck.side), self.neck(x)


class EngineMerging(nn.Module):
    """Widens and, with stride 2, halves. x [1, C, H, W], or cells [1, side², C] -> cells [1, (side / stride)², C'].

    `side`: of the grid that the cells are of; None if x is a grid.
    """

    def __init__(self, source: PatchMerging, side: int | None) -> None:
        super().__init__()
        self.side = side
        widening = fold_batch_norm(source.conv1)
        self.conv1 = widening if side is None else pointwise_linear(widening)
        self.conv2 = fold_batch_norm(source.conv2)
        self.conv3 = pointwise_linear(fold_batch_norm(source.conv3))

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.gelu(self.conv1(x))
        grid = hidden if self.side is None else to_grid(hidden, self.side)
        merged: Tensor = self.conv3(F.gelu(to_cells(self.conv2(grid))))
        return merged


class EngineAttention(nn.Module):
    """Self-attention in each window. x [1, side², C] -> same.

    What fills up a window takes part as upstream, but is left out again before the last projection.
    """

    attention_bias_idxs: Tensor

    def __init__(self, source: WindowAttention, windows: Windows) -> None:
        super().__init__()
        dim, self.heads, self.windows = source.qkv.in_features, source.heads, windows
        self.norm = source.norm
        weights = source.qkv.weight.reshape(self.heads, 3, HEAD_DIM, dim)
        biases = source.qkv.bias.reshape(self.heads, 3, HEAD_DIM)
        scale = HEAD_DIM**-0.5
        self.q = linear(weights[:, 0] * scale, biases[:, 0] * scale)
        self.k = linear(weights[:, 1])
        self.v = linear(weights[:, 2])
        self.proj = linear(source.proj.weight, source.proj.bias + source.proj.weight @ biases[:, 2].reshape(dim))
        self.attention_biases = source.attention_biases
        self.register_buffer("attention_bias_idxs", source.attention_bias_idxs, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        # Padded cells are zero before the norm, not masked out, as upstream.
        normed = self.norm(self.windows.partition(x))
        query, key, value = (self._split(projection(normed)) for projection in (self.q, self.k, self.v))
        bias = self.attention_biases[:, self.attention_bias_idxs].unsqueeze(0)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=1.0)
        projected: Tensor = self.proj(self.windows.merge(attended.permute(0, 2, 1, 3).reshape(normed.shape)))
        return projected

    def _split(self, x: Tensor) -> Tensor:
        """[windows, cells, C] -> [windows, heads, cells, HEAD_DIM]."""
        windows, cells, _ = x.shape
        return x.reshape(windows, cells, self.heads, HEAD_DIM).permute(0, 2, 1, 3)


class EngineBlock(nn.Module):
    """Windowed attention, depthwise convolution, perceptron. x [1, side², C] -> same."""

    def __init__(self, source: TinyVitBlock, side: int) -> None:
        super().__init__()
        self.side = side
        self.attn = EngineAttention(source.attn, Windows(side, source.window))
        self.local_conv = fold_batch_norm(source.local_conv)
        self.mlp = source.mlp

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(x)
        convolved: Tensor = to_cells(self.local_conv(to_grid(x, self.side)))
        mixed: Tensor = convolved + self.mlp(convolved)
        return mixed


class EngineConvStage(nn.Module):
    """The first stage. x [1, C, H, W] -> cells [1, H' * W', C']."""

    def __init__(self, source: ConvStage) -> None:
        super().__init__()
        self.blocks = folded(source.blocks)
        self.downsample = EngineMerging(source.downsample, side=None)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        merged: Tensor = self.downsample(x)
        return merged


class EngineAttentionStage(nn.Module):
    """A stage of attention blocks. x [1, side², C] -> [1, (side / stride)², C']."""

    def __init__(self, source: AttentionStage, side: int) -> None:
        super().__init__()
        blocks = (block for block in source.blocks if isinstance(block, TinyVitBlock))
        self.blocks = nn.ModuleList(EngineBlock(block, side) for block in blocks)
        self.downsample = None if source.downsample is None else EngineMerging(source.downsample, side)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        if self.downsample is None:
            return x
        merged: Tensor = self.downsample(x)
        return merged


def migrations(module: nn.Module) -> Iterator[Migration]:
    """Yield, for every block below the module, where a channel's scale can be moved."""
    for name, block in module.named_modules():
        if isinstance(block, EngineBlock):
            yield Migration(f"{name}.attn.norm", tuple(f"{name}.attn.{part}" for part in ("q", "k", "v")))
            yield Migration(f"{name}.attn.v", (f"{name}.attn.proj",))
            yield Migration(f"{name}.mlp.norm", (f"{name}.mlp.fc1",))


def _stage(source: nn.Module, side: int) -> nn.Module:
    if isinstance(source, ConvStage):
        return EngineConvStage(source)
    assert isinstance(source, AttentionStage)
    return EngineAttentionStage(source, side)
