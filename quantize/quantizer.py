"""From a float component and a plan to a component whose module rounds as the plan says."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor, nn

from ..errors import RequestError
from ..models import Component
from .calibration import Calibration
from .gradients import Gradients
from .grids import GROUP_SIZES, Grid, group_size
from .layer_grids import inputs_grid, layer_weight_grid, split_grid, values_grid
from .layers import (
    GroupedLayer,
    Quantizable,
    QuantizedLayer,
    SplitLayer,
    is_splittable,
    quantizable_layers,
)
from .observe import LayerObservation, count_values, observe
from .palettize import PALETTES, Palette, PalettizedLayer, palettize, require_palettizable
from .plan import WEIGHT_BITS, ComponentPlan, LayerPlan, Rounding, Weights
from .rounding import round_gptq
from .smoothing import Smoothed, divided_inputs, smooth

Observed = Mapping[str, LayerObservation]
Remembered = tuple[str, Weights, Rounding, int]


def quantize(component: Component, plan: ComponentPlan, calibration: Calibration) -> Component:
    """Return the component quantized; the given one is left as it is.

    Raises:
        RequestError: the plan names a layer that the component does not have.
    """
    return Quantizer(component, calibration).quantized(plan)


@dataclass(eq=False)
class Counted:
    """What layers saw and of which kinds there are histograms. `key`: which layers were smoothed, and how far."""

    seen: Observed
    key: tuple[float, frozenset[str]] = (0.0, frozenset())
    kinds: set[str] = field(default_factory=set)


class Quantizer:
    """A component that was observed once, and can be quantized by many plans.

    Rounded weights are remembered: a search asks for the same layer again and again.
    """

    def __init__(
        self, component: Component, calibration: Calibration, gradients: Callable[[], Gradients] | None = None
    ) -> None:
        """`gradients`: makes the masks' gradients, for plans whose ranges go by them."""
        self.component = component
        self._feeds = partial(calibration.feeds, component)
        self._gradients = gradients
        self.seen = observe(component.module, self._feeds)
        self._plain = Counted(self.seen)
        self._last: Counted | None = None
        self._rounded: dict[Remembered, tuple[Grid, Tensor]] = {}
        self._palettes: dict[Remembered, Palette] = {}

    def quantized(self, plan: ComponentPlan) -> Component:
        """Return a copy with the layers that the plan names rounded.

        Raises:
            RequestError: the plan names a layer that the component does not have.
        """
        check_layers(self.component, plan)
        module = copy.deepcopy(self.component.module)
        smoothed = smooth(module, self.component.migrations, plan, self.seen)
        seen = self._with_histograms(plan, module, smoothed)
        for name, layer in quantizable_layers(module).items():
            wanted = plan.of(name)
            if wanted.weights != "float":
                parent, _, leaf = name.rpartition(".")
                rounded = self._layer(layer, wanted, plan, seen[name], smoothed.divisors.get(name))
                setattr(module.get_submodule(parent), leaf, rounded)
        kept = (*self.component.float32_modules, *plan.float32)
        return replace(self.component, module=module.eval(), float32_modules=kept)

    def _with_histograms(self, plan: ComponentPlan, module: nn.Module, smoothed: Smoothed) -> Observed:
        """Return what layers saw, with the histograms that the plan's ranges clip, counted when they are first needed.

        Those of smoothed inputs hold for one choice of layers that are smoothed, the last one: they are large.
        """
        if plan.ranges == "minmax":
            return smoothed.seen
        counted = self._plain if smoothed.seen is self.seen else self._of_smoothed(plan, smoothed)
        kind = "mask" if plan.ranges == "mask" else "all values"  # which serves two ways to clip
        if kind not in counted.kinds:
            with divided_inputs(module, smoothed.divisors):
                count_values(module, self._feeds, counted.seen, self._mask_gradients(plan))
            counted.kinds.add(kind)
        return counted.seen

    def _of_smoothed(self, plan: ComponentPlan, smoothed: Smoothed) -> Counted:
        key = plan.smoothing, frozenset(one.layer for one in plan.layers if one.inputs != "float")
        if self._last is None or self._last.key != key:
            self._last = Counted(smoothed.seen, key)
        return self._last

    def _mask_gradients(self, plan: ComponentPlan) -> Gradients | None:
        if plan.ranges != "mask":
            return None
        if self._gradients is None:
            raise RequestError(
                f"{self.component.contract.component}: the recipe's ranges go by the masks, whose gradients were not "
                "given; allowed without: minmax, percentile, mse"
            )
        return self._gradients()

    def output_error(self, wanted: LayerPlan, rounding: Rounding) -> Tensor:
        """Return the mean squared error of each output channel of a layer whose weight is stored so, [out], float64.

        Its mean is taken out, as a corrected bias does.
        """
        layer, seen = quantizable_layers(self.component.module)[wanted.layer], self.seen[wanted.layer]
        if wanted.weights in PALETTES:
            weight = self._palette(layer, wanted, rounding, seen).weight
        else:
            weight = self._weight(layer, wanted, rounding, seen)[1].flatten(1)
        lost = (layer.weight.flatten(1) - weight).double()
        return _spread(lost, seen)

    def _layer(
        self,
        layer: Quantizable,
        wanted: LayerPlan,
        plan: ComponentPlan,
        seen: LayerObservation,
        divisor: Tensor | None,
    ) -> nn.Module:
        if wanted.weights in PALETTES:
            return self._palettized(layer, wanted, plan, seen)
        if wanted.weights == "int4":
            require_groups(layer, wanted)
        grid, weight = self._weight(layer, wanted, plan.rounding, seen)
        rounded = copy.copy(layer)
        rounded._parameters = dict(layer._parameters)  # a shallow copy of a module shares this dict
        if plan.correct_biases and layer.bias is not None and wanted.inputs != "split":
            rounded.bias = nn.Parameter(layer.bias + _mean_shift(layer.weight - weight, seen), requires_grad=False)
        rounded.weight = nn.Parameter(weight, requires_grad=False)
        if isinstance(rounded, nn.Linear) and wanted.weights == "int4":
            return GroupedLayer(rounded, grid)
        inputs = inputs_grid(layer, wanted, plan, seen)
        outputs = values_grid(seen.outputs, plan, per_channel=False) if wanted.outputs != "float" else None
        if wanted.inputs == "split":
            return _split(QuantizedLayer(rounded, grid, divisor=divisor), layer, wanted, split_grid(seen.inputs, plan))
        return QuantizedLayer(rounded, grid, inputs, outputs, divisor)

    def _palettized(
        self, layer: Quantizable, wanted: LayerPlan, plan: ComponentPlan, seen: LayerObservation
    ) -> PalettizedLayer:
        require_palettizable(layer, wanted)
        palette, bias = self._palette(layer, wanted, plan.rounding, seen), layer.bias
        if plan.correct_biases and bias is not None:
            bias = bias + _mean_shift(layer.weight.flatten(1) - palette.weight, seen)
        return PalettizedLayer(layer, palette, bias)

    def _palette(self, layer: Quantizable, wanted: LayerPlan, rounding: Rounding, seen: LayerObservation) -> Palette:
        key = _remembered(layer, wanted, rounding)
        if key not in self._palettes:
            bits = WEIGHT_BITS[wanted.weights]
            self._palettes[key] = palettize(layer.weight.flatten(1), bits, seen.gram, rounding)
        return self._palettes[key]

    def _weight(
        self, layer: Quantizable, wanted: LayerPlan, rounding: Rounding, seen: LayerObservation
    ) -> tuple[Grid, Tensor]:
        key = _remembered(layer, wanted, rounding)
        if key not in self._rounded:
            grid = layer_weight_grid(layer, wanted)
            self._rounded[key] = grid, _rounded_weight(layer.weight, grid, rounding, seen)
        return self._rounded[key]


def _remembered(layer: Quantizable, wanted: LayerPlan, rounding: Rounding) -> Remembered:
    """Return what a rounded weight depends on; smoothing changes the weight itself."""
    return wanted.layer, wanted.weights, rounding, hash(layer.weight.detach().numpy().tobytes())


def takes_groups(layer: Quantizable) -> bool:
    """Whether 4-bit weights in groups are for this layer: engines have kernels for linear ones."""
    return isinstance(layer, nn.Linear) and group_size(layer.in_features) > 0


def require_groups(layer: Quantizable, plan: LayerPlan) -> None:
    """Raise RequestError for a plan that asks for 4-bit groups where there are none."""
    wrong = "" if takes_groups(layer) else f"is not linear with a multiple of {min(GROUP_SIZES)} inputs"
    wrong = "has an input or output in 8 bits" if (plan.inputs, plan.outputs) != ("float", "float") else wrong
    if wrong:
        raise RequestError(f"{plan.layer}: int4 is asked for, but the layer {wrong}; give it int8 weights")


def check_layers(component: Component, plan: ComponentPlan) -> None:
    known = quantizable_layers(component.module)
    modules = dict(component.module.named_modules())
    unknown = [layer.layer for layer in plan.layers if layer.layer not in known]
    unknown += [name for name in plan.float32 if name not in modules]
    if unknown:
        raise RequestError(
            f"{component.contract.component}: the recipe names layers that it does not have: "
            f"{', '.join(unknown[:5])}; use the recipe with the model that it was made for"
        )


def _rounded_weight(weight: Tensor, grid: Grid, rounding: Rounding, seen: LayerObservation) -> Tensor:
    if rounding == "nearest":
        return grid.round(weight.reshape(len(grid.scale), -1)).reshape(weight.shape)
    return round_gptq(weight.flatten(1), grid, seen.gram).reshape(weight.shape)


def _mean_shift(lost: Tensor, seen: LayerObservation) -> Tensor:
    """Return what the lost part of the weight would have added to the mean output, [out]."""
    flat = lost.flatten(1)
    return (flat * seen.mean).sum(1) if seen.mean.dim() == 2 else flat @ seen.mean


def _spread(lost: Tensor, seen: LayerObservation) -> Tensor:
    """Return the variance of what the lost part of the weight, [out, in], would have added to each output, [out]."""
    second, first = seen.gram.double() / seen.rows, seen.mean.double()
    if first.dim() == 2:
        return torch.einsum("ci,cij,cj->c", lost, second, lost) - (lost * first).sum(1).square()
    return ((lost @ second) * lost).sum(1) - (lost @ first).square()


def _split(rounded: QuantizedLayer, layer: Quantizable, wanted: LayerPlan, inputs: Grid) -> SplitLayer:
    if not is_splittable(layer):
        raise RequestError(
            f"{wanted.layer}: the recipe splits the input of a depthwise or grouped convolution; allowed there: uint8, "
            "float"
        )
    weight = rounded.weight if rounded.convolution is not None else rounded.weight.t()
    return SplitLayer(rounded, layer.weight.detach() - weight, inputs)
