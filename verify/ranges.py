"""Whether what a model computes fits into fp16, for devices that compute in it where this machine does not.

onnxruntime and OpenVINO compute an fp16 graph in fp32 on most processors, so a gate here sees no overflow; a phone's or
a browser's GPU would. The peaks are of the PyTorch module: every operation's largest magnitude.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

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
    """The largest magnitude that one kind of operation gave, over all pictures."""

    operation: str
    value: float


class _Watch(TorchDispatchMode):
    """Sees every operation that torch runs, whatever module it is of."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it without types
        self.peaks: dict[str, float] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor) and value.is_floating_point() and value.numel():
                name = str(func)
                self.peaks[name] = max(self.peaks.get(name, 0.0), _magnitude(value))
        return result


def _magnitude(value: Tensor) -> float:
    """A number that is none fits nowhere."""
    return float(value.abs().nan_to_num(nan=math.inf, posinf=math.inf).max())


def peaks(component: Component, feeds: Iterable[tuple[Tensor, ...]]) -> tuple[Peak, ...]:
    """Return the peak of each kind of operation, the largest first.

    Args:
        feeds: the component's inputs, in its contract's order.
    """
    watch = _Watch()
    for inputs in feeds:
        with torch.inference_mode(), watch:
            component.module(*inputs)
    found = (Peak(name, value) for name, value in watch.peaks.items())
    return tuple(sorted(found, key=lambda peak: peak.value, reverse=True))


def require_float16_range(component: Component, suite: Suite) -> str:
    """Return a sentence on how near the component comes to the largest fp16 number, on a few pictures.

    Raises:
        AccuracyError: it comes past it.
    """
    notes = _NOTES.setdefault(component, {})
    if suite.sha256 not in notes:
        notes[suite.sha256] = _range_note(component.contract.component, peaks(component, _feeds(component, suite))[0])
    return notes[suite.sha256]


def _range_note(name: str, largest: Peak) -> str:
    if not largest.value <= FLOAT16_MAX:
        raise AccuracyError(
            f"{name}: {largest.operation} reaches {largest.value:.3g}, fp16 ends at {FLOAT16_MAX:g}: a device that "
            "computes in fp16 would give infinities; export it with --precision fp32"
        )
    return f"{name}: the largest magnitude on {PICTURES} pictures is {largest.value:.0f}, fp16 ends at {FLOAT16_MAX:g}"


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
