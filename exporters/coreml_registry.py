"""How coremltools learns of operations, with types, which it has not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from coremltools.converters.mil.frontend.torch.torch_op_registry import register_torch_op

# Reads a node's inputs from the converter's context, and adds what it becomes there.
Translation = Callable[[Any, Any], None]


def translates(translation: Translation) -> Translation:
    """Take the function for the operation of its name, which coremltools does not know."""
    register_torch_op(translation)
    return translation


def translates_instead(translation: Translation) -> Translation:
    """Take the function for the operation of its name, instead of coremltools' own."""
    register_torch_op(translation, override=True)
    return translation
