"""The web package by itself: its style, its types, and its pure functions against the goldens."""

from __future__ import annotations

import re

import pytest

from sam_export.exporters.web import WEBGPU_OPS

from .conftest import PACKAGE, Npm


@pytest.mark.slow
def test_the_ops_of_web_graphs_have_webgpu_kernels(npm: Npm) -> None:
    """The table that onnxruntime-web ships is of the version that the package is tested with."""
    table = (PACKAGE / "node_modules" / "onnxruntime-web" / "docs" / "webgpu-operators.md").read_text()
    rows = re.findall(r"^\| (\w+) \| ([^|]+)\|", table, flags=re.MULTILINE)
    assert {name for name, versions in rows if "ai.onnx" in versions} >= WEBGPU_OPS


@pytest.mark.parametrize("script", ["lint", "types", "test"])
@pytest.mark.slow
def test_script(npm: Npm, script: str) -> None:
    npm("run", script)
