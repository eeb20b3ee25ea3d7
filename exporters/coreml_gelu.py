"""GELU in the form that the model asks for.

coremltools 9.0 reads `approximate` by position alone, a program of `torch.export` gives it by name, so that the tanh
form became the exact one: 72 dB after the first layer of EfficientViT.
"""

from __future__ import annotations

from typing import Any

from coremltools.converters.mil.frontend.torch.ops import _get_inputs, _get_kwinputs
from coremltools.converters.mil.mil import Builder

MODES = {"none": "EXACT", "tanh": "TANH_APPROXIMATION"}


def gelu(context: Any, node: Any) -> None:
    x = _get_inputs(context, node)[0]
    (approximate,) = _get_kwinputs(context, node, "approximate", default=["none"])
    mode = MODES[str(getattr(approximate, "val", approximate))]
    context.add(Builder.gelu(x=x, mode=mode, name=node.name))
