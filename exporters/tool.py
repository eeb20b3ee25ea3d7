"""What an exported file says of the program that wrote it, and of the weights that it holds."""

from __future__ import annotations

import importlib.metadata
from typing import TYPE_CHECKING

from ..contract import LayerChoice

if TYPE_CHECKING:
    from ..models.components import Component

TOOL = "sam-export"
FLOAT32_REASON = "the model needs fp32 here at every precision"

# What to do where a converter does what it did not do with the versions that this project is tested with.
TRY_PINNED = "install the versions in constraints.txt and try again"


def tool_version() -> str:
    return importlib.metadata.version(TOOL)


def float32_layers(component: Component) -> tuple[LayerChoice, ...]:
    """Return what a recipe of half the bytes says of the modules that stay fp32."""
    reasons = component.float32_reasons
    return tuple(
        LayerChoice(module, "fp32", reasons.get(module, FLOAT32_REASON)) for module in component.float32_modules
    )


def weights_facts(component: Component) -> dict[str, str]:
    """Return whose weights these are and what they may be used for; nothing for a module that is no model's."""
    card = component.card
    if card is None:
        return {}
    return {
        "model": card.model,
        "license": card.license,
        "source": card.source,
        "checkpoint_sha256": card.checkpoint_sha256,
    }
