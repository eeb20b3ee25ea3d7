"""What calibration learns of each layer, streamed: memory grows with the layers, never with the pictures.

Ranges and Gram matrices first; histograms inside the ranges are a second pass, for the plans that clip.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import Quantizable, is_depthwise, quantizable_layers

Feeds = Iterable[tuple[Tensor, ...]]
Visit = Callable[[str, Quantizable, Tensor, Tensor], None]
BINS = 2048
# What one picture gives to a Gram matrix and to a histogram: a regular choice of positions and of values.
MAX_ROWS = 4096
MAX_VALUES = 2**18


@dataclass(eq=False)
class TensorRange:
    """`low`, `high`: of the whole tensor, float. `channel_low`, `channel_high`: [C]. `counts`, `weighted`: [BINS],
    a histogram of the values, and one of what the masks mind."""

    channel_low: Tensor
    channel_high: Tensor
    counts: Tensor
    weighted: Tensor = field(default_factory=lambda: torch.zeros(BINS))

    @property
    def low(self) -> float:
        return float(self.channel_low.min())

    @property
    def high(self) -> float:
        return float(self.channel_high.max())


@dataclass(eq=False)
class LayerObservation:
    """`gram`: [in, in], the sum of x x^T over `rows` positions, `total`: [in], that of x; of a depthwise convolution
    [C, k², k²] and [C, k²]."""

    inputs: TensorRange
    outputs: TensorRange
    gram: Tensor
    total: Tensor
    rows: int

    @property
    def mean(self) -> Tensor:
        return self.total / self.rows


def observe(module: nn.Module, feeds: Callable[[], Feeds]) -> Mapping[str, LayerObservation]:
    """Return what each quantizable layer saw, by dotted path, without histograms.

    Args:
        feeds: starts the calibration anew.
    """
    found: dict[str, LayerObservation] = {}

    def visit(name: str, layer: Quantizable, x: Tensor, y: Tensor) -> None:
        rows = patches(layer, x)
        seen = found.get(name)
        if seen is None:
            found[name] = LayerObservation(_range(layer, x), _range(layer, y), gram(rows), rows.sum(-2), rows.shape[-2])
        else:
            _widen(seen.inputs, layer, x)
            _widen(seen.outputs, layer, y)
            seen.gram += gram(rows)
            seen.total += rows.sum(-2)
            seen.rows += rows.shape[-2]

    _go_through(module, feeds, visit)
    return found


def count_values(
    module: nn.Module,
    feeds: Callable[[], Feeds],
    found: Mapping[str, LayerObservation],
    gradients: Mapping[str, Tensor] | None = None,
) -> None:
    """Fill the histograms of what was observed, in place; `feeds` as for `observe`. The module's layers see what was.

    With `gradients`, the masks' squared ones by each layer's output channels [out], a value counts for as much as the
    masks mind an error in its channel: `weighted`, otherwise `counts`.
    """

    def visit(name: str, layer: Quantizable, x: Tensor, y: Tensor) -> None:
        inputs, outputs = found[name].inputs, found[name].outputs
        if gradients is None:
            for seen, values in ((inputs, x), (outputs, y)):
                seen.counts += torch.histc(_thinned(values.flatten(), MAX_VALUES), BINS, seen.low, seen.high)
        elif name in gradients:
            inputs.weighted += _weighted_counts(inputs, x, _axis(layer, x), input_weights(layer, gradients[name]))
            outputs.weighted += _weighted_counts(outputs, y, _axis(layer, y), gradients[name].float())

    _go_through(module, feeds, visit)


def input_weights(layer: Quantizable, gradient: Tensor) -> Tensor:
    """Return how much the masks mind an error in each input channel, [in]: through each weight to each output."""
    squared = layer.weight.double().square().flatten(2).sum(2) if layer.weight.dim() > 2 else layer.weight.square()
    return (gradient @ squared.double() if not is_depthwise(layer) else gradient * squared.double()[:, 0]).float()


def _weighted_counts(seen: TensorRange, values: Tensor, axis: int, weights: Tensor) -> Tensor:
    """Return the histogram in which a value counts for its channel's weight, [BINS]."""
    shape = [1] * values.dim()
    shape[axis] = -1
    of_values = weights.reshape(shape).expand_as(values)
    chosen, weight = _thinned(values.flatten(), MAX_VALUES), _thinned(of_values.flatten(), MAX_VALUES)
    width = max(seen.high - seen.low, 1e-12) / BINS
    bins = ((chosen - seen.low) / width).long().clamp(0, BINS - 1)
    return torch.zeros(BINS).index_add_(0, bins, weight)


def _go_through(module: nn.Module, feeds: Callable[[], Feeds], visit: Visit) -> None:
    with _visited(quantizable_layers(module), visit), torch.inference_mode():
        for inputs in feeds():
            module(*inputs)


def patches(layer: Quantizable, x: Tensor) -> Tensor:
    """Return what the layer's weights are multiplied with: [rows, in], of a depthwise convolution [C, rows, k²]."""
    if isinstance(layer, nn.Linear):
        return _thinned(x.reshape(-1, x.shape[-1]), MAX_ROWS)
    windows = _windows(layer, x)
    if is_depthwise(layer):
        return windows.permute(1, 0, 2, 3, 4, 5).reshape(x.shape[1], -1, windows.shape[-2] * windows.shape[-1])
    return windows.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(0, 2)


def gram(rows: Tensor) -> Tensor:
    return rows.transpose(-1, -2) @ rows


def _windows(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """Return a regular choice of what the kernel slides over, [B, C, rows, columns, k, k], as a view."""
    (height, width), (down, right), (rows, columns) = layer.kernel_size, layer.stride, x.shape[-2:]
    positions = rows * columns / (down * right)
    step = max(1, math.ceil(math.sqrt(positions / MAX_ROWS)))
    assert not isinstance(layer.padding, str)
    padded = F.pad(x, (layer.padding[1], layer.padding[1], layer.padding[0], layer.padding[0]))
    return padded.unfold(2, height, down * step).unfold(3, width, right * step)


def _thinned(values: Tensor, most: int) -> Tensor:
    return values[:: math.ceil(len(values) / most)]


@contextmanager
def _visited(layers: Mapping[str, Quantizable], visit: Visit) -> Iterator[None]:
    with ExitStack() as stack:
        for name, layer in layers.items():
            stack.callback(layer.register_forward_hook(partial(_on_call, visit, name)).remove)
        yield


def _on_call(visit: Visit, name: str, layer: Quantizable, inputs: Sequence[Tensor], output: Tensor) -> None:
    visit(name, layer, inputs[0], output)


def _extremes(layer: Quantizable, values: Tensor) -> tuple[Tensor, Tensor]:
    """Return the least and the largest value of each channel."""
    axis = _axis(layer, values)
    others = tuple(index for index in range(values.dim()) if index != axis)
    return values.amin(others), values.amax(others)


def _axis(layer: Quantizable, values: Tensor) -> int:
    """Return which axis of a layer's input or output holds the channels."""
    return 1 if isinstance(layer, nn.Conv2d) else values.dim() - 1


def _range(layer: Quantizable, values: Tensor) -> TensorRange:
    return TensorRange(*_extremes(layer, values), torch.zeros(BINS))


def _widen(seen: TensorRange, layer: Quantizable, values: Tensor) -> None:
    low, high = _extremes(layer, values)
    seen.channel_low = torch.minimum(seen.channel_low, low)
    seen.channel_high = torch.maximum(seen.channel_high, high)
