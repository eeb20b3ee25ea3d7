"""Writing an `.mlpackage` that says what it is, and says it in the same bytes every time."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import coremltools as ct

from ..models.components import Component
from .tool import TOOL, tool_version, weights_facts

MODEL_FILE = Path("Data/com.apple.CoreML/model.mlmodel")
# For ExecuTorch's debugger, with no entries that an app could use.
DEBUG_FILE = Path("executorch_debug_handle_mapping.json")
DATED_METADATA = ("com.github.apple.coremltools.conversion_date",)
TOOLS = ("sam-export", "torch", "coremltools", "numpy")


def write_package(model: ct.models.MLModel, component: Component, path: Path, facts: Mapping[str, str]) -> None:
    """Write the package to `path`, replacing what is there.

    Two exports of the same component are equal byte by byte: no dates, protobuf maps in order, and the
    package's identifiers derived from its paths instead of drawn at random. `facts` go to the metadata, beside whose
    weights these are.
    """
    spec = model.get_spec()
    _describe(spec, component, facts)
    shutil.rmtree(path, ignore_errors=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(str(path))
    (path / DEBUG_FILE).unlink(missing_ok=True)
    (path / MODEL_FILE).write_bytes(spec.SerializeToString(deterministic=True))
    _settle_identifiers(path / "Manifest.json")


def package_files(path: Path) -> tuple[str, ...]:
    """Return all files of the package as POSIX paths relative to `path.parent`, sorted."""
    return tuple(sorted(file.relative_to(path.parent).as_posix() for file in path.rglob("*") if file.is_file()))


def _describe(spec: Any, component: Component, facts: Mapping[str, str]) -> None:
    contract, metadata = component.contract, spec.description.metadata
    metadata.shortDescription = f"Segment Anything, {contract.component.replace('_', ' ')}"
    metadata.author = TOOL
    metadata.versionString = tool_version()
    if component.card is not None:
        metadata.shortDescription += f" of {component.card.model}"
        metadata.license = component.card.license
    for key in DATED_METADATA:
        metadata.userDefined.pop(key, None)
    tools = {f"sam_export.tools.{name}": importlib.metadata.version(name) for name in TOOLS}
    own = {f"sam_export.{key}": value for key, value in {**weights_facts(component), **facts}.items()}
    metadata.userDefined.update(tools | own)
    for tensors, features in (
        (contract.inputs, spec.description.input),
        (contract.outputs, spec.description.output),
    ):
        for tensor, feature in zip(tensors, features, strict=True):
            feature.shortDescription = tensor.meaning


def _settle_identifiers(manifest: Path) -> None:
    """Name each item of the package by its path, where Core ML's writer draws a random UUID."""
    content = json.loads(manifest.read_text())
    names = {
        drawn: str(uuid.uuid5(uuid.NAMESPACE_URL, f"sam-export:{item['path']}"))
        for drawn, item in content["itemInfoEntries"].items()
    }
    items = {names[drawn]: item for drawn, item in content["itemInfoEntries"].items()}
    content |= {"itemInfoEntries": items, "rootModelIdentifier": names[content["rootModelIdentifier"]]}
    manifest.write_text(json.dumps(content, indent=4, sort_keys=True) + "\n")
