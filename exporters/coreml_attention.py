"""Scaled attention in the form that iOS 18 fuses.

Its `scaled_dot_product_attention` takes no scale, so coremltools writes one with a scale of its own as separate
operations. The fused one divides by the root of the head's width; what is asked for beyond that goes into the queries.
"""

from __future__ import annotations

from typing import Any

import coremltools as ct
from coremltools.converters.mil.frontend.torch.ops import _get_kwinputs
from coremltools.converters.mil.frontend.torch.ops import scaled_dot_product_attention as translate
from coremltools.converters.mil.mil import Builder
from coremltools.converters.mil.mil.block import is_current_opset_version_compatible_with


def scaled_dot_product_attention(context: Any, node: Any) -> None:
    (scale,) = _get_kwinputs(context, node, "scale", default=[None])
    if scale is not None and is_current_opset_version_compatible_with(ct.target.iOS18):
        query = context[node.inputs[0]]
        name = f"{node.name}_scaled_query"
        factor = float(getattr(scale, "val", scale)) * query.shape[-1] ** 0.5
        context.add(Builder.mul(x=query, y=factor, name=name))
        node.inputs = [name, *node.inputs[1:]]
        node.kwinputs = {key: value for key, value in node.kwinputs.items() if key != "scale"}
    translate(context, node)
