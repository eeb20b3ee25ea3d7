"""What an exported file says of the program that wrote it."""

from __future__ import annotations

import importlib.metadata

TOOL = "sam-export"


def tool_version() -> str:
    return importlib.metadata.version(TOOL)
