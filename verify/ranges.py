"""Whether what a model computes fits into fp16, for devices that compute in it where this machine does not.

onnxruntime and OpenVINO compute an fp16 graph in fp32 on most processors, so a gate here sees no overflow; a phone's or
a browser's GPU would. The peaks are of the PyTorch module: the largest magnitude that each layer takes or gives. What
Core ML makes of a layer's inside is told by the evaluator, which computes it in fp16.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..contract import ComponentName, Graph
from ..errors import AccuracyError
from ..models import Component
from .prompt import batched_feeds
from .suite import Suite

FLOAT16_MAX = torch.finfo(torch.float16).max
PICTURES = 3
PROMPTS = 2
# By component and suite: every fp16 bundle of a request asks again.
_NOTES: WeakKeyDictionary[Component, dict[str, str]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Peak:
    """The largest magnitude that an operation of one module gave, over all pictures, or took where it was too large.

    `module`: its dotted name, "" for the component's own code.
    """

    module: str
    operation: str
    value: float

    @property
    def fits(self) -> bool:
        return self.value <= FLOAT16_MAX

    @property
    def where(self) -> str:
        return f"{self.module or 'operations outside of any module'} ({self.operation})"


class _Watch(TorchDispatchMode):
    """Sees every operation that torch runs inside the modules of one module.

    What an operation takes is what another one gave, so that it is looked at only once something was too large: then
    not only who gave it has to compute in fp32.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it without types
        self.peaks: dict[tuple[str, str], float] = {}
        self._module, self._inside, self._too_large = module, [""], False

    @contextmanager
    def scopes(self) -> Iterator[None]:
        with ExitStack() as stack:
            for name, module in self._module.named_modules():
                if name:
                    enter = partial(self._enter, name)
                    stack.callback(module.register_forward_pre_hook(enter).remove)
                    stack.callback(module.register_forward_hook(self._leave, always_call=True).remove)
            yield

    def _enter(self, name: str, *_: object) -> None:
        self._inside.append(name)

    def _leave(self, *_: object) -> None:
        self._inside.pop()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        result = func(*args, **(kwargs or {}))
        taken = tree_leaves((args, kwargs)) if self._too_large else ()
        key = self._inside[-1], str(func)
        for value in (*tree_leaves(result), *taken):
            if isinstance(value, Tensor) and value.is_floating_point() and value.numel():
                peak = _magnitude(value)
                self._too_large |= peak > FLOAT16_MAX
                self.peaks[key] = max(self.peaks.get(key, 0.0), peak)
        return result


def _magnitude(value: Tensor) -> float:
    """A number that is none fits nowhere."""
    return float(value.abs().nan_to_num(nan=math.inf, posinf=math.inf).max())


def peaks(component: Component, feeds: Iterable[tuple[Tensor, ...]]) -> tuple[Peak, ...]:
    """Return the peak of each kind of operation of each module, the largest first; weights are a peak of theirs.

    Args:
        feeds: the component's inputs, in its contract's order.
    """
    watch = _Watch(component.module)
    for inputs in feeds:
        with torch.inference_mode(), watch.scopes(), watch:
            component.module(*inputs)
    found = [Peak(module, operation, value) for (module, operation), value in watch.peaks.items()]
    found += [
        Peak(name.rpartition(".")[0], name.rpartition(".")[2], _magnitude(weight))
        for name, weight in component.module.named_parameters()
    ]
    return tuple(sorted(found, key=lambda peak: peak.value, reverse=True))


def too_large(component: Component, found: Iterable[Peak]) -> dict[str, Peak]:
    """Return the modules that have to compute in fp32 beside those that do, each with the largest peak in it.

    Of modules inside each other the outer one.
    """
    wrong = [peak for peak in found if not peak.fits and not is_inside(peak.module, component.float32_modules)]
    names = {peak.module for peak in wrong}
    outer = [name for name in names if not is_inside(name, names - {name})]
    return {name: max(filter(lambda peak: is_inside(peak.module, [name]), wrong), key=_value) for name in outer}


def _value(peak: Peak) -> float:
    return peak.value


def is_inside(module: str, others: Iterable[str]) -> bool:
    """Whether a dotted name is one of the others, or of a module in one of them."""
    return any(module == other or not other or module.startswith(f"{other}.") for other in others)


def require_float16_range(component: Component, suite: Suite) -> str:
    """Return a sentence on how near the component comes to the largest fp16 number, on a few pictures.

    Raises:
        AccuracyError: it comes past it.
    """
    notes = _NOTES.setdefault(component, {})
    if suite.sha256 not in notes:
        notes[suite.sha256] = _range_note(component, peaks(component, _feeds(component, suite)))
    return notes[suite.sha256]


def _range_note(component: Component, found: Sequence[Peak]) -> str:
    name = component.contract.component
    wrong = too_large(component, found)
    if wrong:
        first = max(wrong.values(), key=lambda peak: peak.value)
        raise AccuracyError(
            f"{name}: {first.where} reaches {first.value:.3g}, fp16 ends at {FLOAT16_MAX:g}: a device that computes in "
            f"fp16 would give infinities ({len(wrong)} of its modules in all); export it with --precision fp32"
        )
    halves = [peak for peak in found if not is_inside(peak.module, component.float32_modules)]
    return (
        f"{name}: the largest magnitude on {PICTURES} pictures is {halves[0].value:.0f} in {halves[0].where}, "
        f"fp16 ends at {FLOAT16_MAX:g}"
    )


def _feeds(component: Component, suite: Suite) -> Iterator[tuple[Tensor, ...]]:
    for entry in suite.pictures[:PICTURES]:
        if component.contract.component == "image_encoder":
            yield (torch.from_numpy(entry.prepared.tensor),)
            continue
        prompts = [case.prompt for case in entry.cases[:PROMPTS]]
        for _, feeds in batched_feeds(
            prompts, entry.prepared, suite.preprocessing, suite.mask_rule, largest=len(prompts)
        ):
            given = {**entry.features, **feeds}
            yield tuple(torch.from_numpy(given[name]) for name in component.contract.input_names)


def program_notes(graphs: Sequence[Graph], component_of: Mapping[ComponentName, Component], suite: Suite) -> list[str]:
    """Return how large the values are that Core ML programs round to fp16, fused operations taken apart, on a picture.

    One beyond the end is no error by itself: what becomes of it is what the gate measures.
    """
    return [
        _program_note(graph, component_of[graph.contract.component], suite)
        for graph in graphs
        if graph.target == "coreml" and graph.recipe.compute == "fp16"
    ]


def _program_note(graph: Graph, component: Component, suite: Suite) -> str:
    from .mil.session import MilSession

    inputs = next(iter(_feeds(component, suite)))
    feeds = {name: value.numpy() for name, value in zip(graph.contract.input_names, inputs, strict=True)}
    name, found = graph.contract.component, MilSession(graph.path, graph.contract).peaks(feeds)
    wrong = [peak for peak in found if peak.overflows]
    if wrong:
        first = f"{wrong[0].tensor} ({wrong[0].operation})"
        return f"{name}: {len(wrong)} values of its program do not fit into fp16, first {first}"
    halves = [peak for peak in found if peak.dtype == "fp16"]
    largest = max(halves, key=lambda peak: peak.value)
    return f"{name}: the largest value that its program rounds to fp16 is {largest.value:.0f} ({largest.operation})"
