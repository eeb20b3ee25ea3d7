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

from ..contract import GraphContract

MODEL_FILE = Path("Data/com.apple.CoreML/model.mlmodel")
# For ExecuTorch's debugger, with no entries that an app could use.
DEBUG_FILE = Path("executorch_debug_handle_mapping.json")
DATED_METADATA = ("com.github.apple.coremltools.conversion_date",)
TOOLS = ("sam-export", "torch", "coremltools", "numpy")


def write_package(model: ct.models.MLModel, contract: GraphContract, path: Path, facts: Mapping[str, str]) -> None:
    """Write the package to `path`, replacing what is there.

    Two exports of the same component are equal byte by byte: no dates, protobuf maps in order, and the
    package's identifiers derived from its paths instead of drawn at random. `facts` go to the metadata.
    """
    spec = model.get_spec()
    _describe(spec, contract, facts)
    shutil.rmtree(path, ignore_errors=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(str(path))
    (path / DEBUG_FILE).unlink(missing_ok=True)
    (path / MODEL_FILE).write_bytes(spec.SerializeToString(deterministic=True))
    _settle_identifiers(path / "Manifest.json")


def package_files(path: Path) -> tuple[str, ...]:
    """Return all files of the package as POSIX paths relative to `path.parent`, sorted."""
    return tuple(sorted(file.relative_to(path.parent).as_posix() for file in path.rglob("*") if file.is_file()))


def _describe(spec: Any, contract: GraphContract, facts: Mapping[str, str]) -> None:
    metadata = spec.description.metadata
    metadata.shortDescription = f"Segment Anything, {contract.component.replace('_', ' ')}"
    metadata.author = "sam-export"
    metadata.versionString = importlib.metadata.version("sam-export")
    for key in DATED_METADATA:
        metadata.userDefined.pop(key, None)
    tools = {f"sam_export.tools.{name}": importlib.metadata.version(name) for name in TOOLS}
    metadata.userDefined.update(tools | {f"sam_export.{key}": value for key, value in facts.items()})
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
