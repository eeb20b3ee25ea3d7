"""The web package by itself: its style, its types, and its pure functions against the goldens."""

from __future__ import annotations

import pytest

from .conftest import Npm


@pytest.mark.parametrize("script", ["lint", "types", "test"])
@pytest.mark.slow
def test_script(npm: Npm, script: str) -> None:
    npm("run", script)
