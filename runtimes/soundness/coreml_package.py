"""A Core ML package (`.mlpackage`) from a stranger, before coremltools or Core ML reads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from ...errors import BundleError
from ...manifest import leaves
from .wire import UnsoundError

INDEX = "Manifest.json"
# Ours are 700 bytes.
MAX_INDEX_BYTES = 2**20
# What libprotobuf reads at most; the weights lie beside the model.
MAX_MODEL_BYTES = 2**31


@dataclass(frozen=True)
class _Item:
    path: str


@dataclass(frozen=True)
class _Index:
    """`Manifest.json`: what lies in `Data`, and which of it is the model."""

    itemInfoEntries: dict[str, _Item]
    rootModelIdentifier: str


def require_sound_package(path: Path) -> None:
    """Raise unless all that the package's `Manifest.json` names lies in its folder `Data`, with no link anywhere.

    Raises:
        BundleError: it does not; the text says what was found.
    """
    if not (path / INDEX).is_file():  # coremltools would create what is missing
        raise BundleError(f"{path}: no {INDEX} in it; give the folder of a saved .mlpackage")
    try:
        _check(path)
    except (UnsoundError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise BundleError(f"{path.name}: damaged Core ML package ({exc}); export it again") from exc


def _check(path: Path) -> None:
    links = [file for file in path.rglob("*") if file.is_symlink()]
    if links:
        raise UnsoundError(f"{links[0].name!r} is a link, allowed: files and folders")
    if (path / INDEX).stat().st_size > MAX_INDEX_BYTES:
        raise UnsoundError(f"{INDEX} is larger than {MAX_INDEX_BYTES} bytes")
    index = msgspec.json.decode((path / INDEX).read_bytes(), type=_Index)
    for item in index.itemInfoEntries.values():
        if leaves(path / "Data", item.path) or not (path / "Data" / item.path).exists():
            raise UnsoundError(f"{INDEX} names {item.path[:200]!r}, allowed: what lies in its folder Data")
    root = index.itemInfoEntries.get(index.rootModelIdentifier)
    model = path / "Data" / root.path if root is not None else path
    if not model.is_file() or model.stat().st_size > MAX_MODEL_BYTES:
        raise UnsoundError(f"{INDEX} names no model, or one of more than {MAX_MODEL_BYTES} bytes")
