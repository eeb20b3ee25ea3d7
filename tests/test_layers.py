"""Imports between folders go one way, and what a phone-class user installs pulls in no converter."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "models": set(),
    "runtimes": set(),
    "exporters": {"models"},
    "verify": {"models", "runtimes"},
    "quantize": {"models", "exporters", "runtimes", "verify"},
    "benchmarks": {"models", "runtimes", "server", "verify"},
    "sam_export/server": {"runtimes"},
}
FACE = {
    "contract",
    "errors",
    "full_size",
    "held",
    "verification",
    "manifest",
    "memory",
    "bundle",
    "bundle_files",
    "optional",
    "orphans",
    "precision",
    "search_record",
    "staging",
    "triton_layout",
}
HEAVY = (
    "torch",
    "onnx",
    "openvino",
    "coremltools",
    "nncf",
    "onnxruntime",
    "transformers",
    "skimage",
    "scipy",
    "jinja2",
)


def imported_folders(module: Path) -> set[str]:
    """The folders, or face modules, that the module imports relative to the package."""
    path = module.relative_to(ROOT)
    depth = len(path.parts) - (path.parts[0] == "sam_export")
    found = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            found |= {node.module.split(".")[0]} if node.module else {alias.name for alias in node.names}
        absolute = [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
        names = absolute + ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [])
        assert not any(name.split(".")[0] == "sam_export" for name in names), f"{module}: import relatively"
    return found


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_arrows_hold(folder: str) -> None:
    for module in (ROOT / folder).rglob("*.py"):
        if "peers" in module.parts:  # scripts that run in environments of their own
            continue
        forbidden = imported_folders(module) - MAY_IMPORT[folder] - FACE
        assert not forbidden, f"{module.relative_to(ROOT)} imports {sorted(forbidden)}"


@pytest.mark.parametrize(
    "module",
    [
        "sam_export",
        "sam_export.runtimes",
        "sam_export.runtimes.upstream",
        "sam_export.manifest",
        "sam_export.cli",
        "sam_export.cli.segment_command",
        "sam_export.cli.embed_command",
        "sam_export.cli.inspect_command",
        "sam_export.cli.serve_command",
        "sam_export.server",
    ],
)
def test_import_is_light(module: str) -> None:
    code = f"import {module}, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert loaded == "[]"
