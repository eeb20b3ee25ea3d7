"""What an exported file says of the program that wrote it, and of the weights that it holds."""

from __future__ import annotations

import importlib.metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..models.components import Component

TOOL = "sam-export"

# What to do where a converter does what it did not do with the versions that this project is tested with.
TRY_PINNED = "install the versions in constraints.txt and try again"


def tool_version() -> str:
    return importlib.metadata.version(TOOL)


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
