"""`bundle.json`, schema 1: its types, and reading one from a stranger safely.

Reading checks the schema, that every path stays inside the bundle, and every size and sha256, before
any engine sees a file. Writing is `bundle.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import msgspec

from .contract import GraphContract, MaskRule, Preprocessing, Recipe
from .errors import BundleError
from .manifest_limits import impossible_numbers
from .verification import Limits, Summary, TruthSummary

SCHEMA_VERSION = 1
MANIFEST_NAME = "bundle.json"
MAX_MANIFEST_BYTES = 16 * 2**20
MAX_PATH, MAX_NAME_BYTES = 1024, 255


@dataclass(frozen=True)
class FileEntry:
    """A file of the bundle: POSIX path relative to the bundle, sha256 in hex, size."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class GraphEntry:
    """`open_path` is what an engine opens: one of `files`, or the folder that holds them all. `brotli_bytes`: what a
    host that compresses sends of them, where that was measured."""

    contract: GraphContract
    open_path: str
    files: tuple[FileEntry, ...]
    recipe: Recipe
    brotli_bytes: int | None = None


@dataclass(frozen=True)
class Accuracy:
    """The proof: what was measured, on which suite, by what, and the limits that it was held to.

    `truth` has no limit: mean IoU with the ground truth that the pictures came with, if any.
    """

    evaluated_by: str
    suite_sha256: str
    limits: Limits
    stable: Summary | None
    harsh: Summary | None
    parity: Summary | None
    min_embedding_snr_db: float
    weights_trained: bool
    notes: tuple[str, ...] = ()
    truth: tuple[TruthSummary, ...] = ()


@dataclass(frozen=True)
class BundleVariant:
    """One set of graphs, keyed by component name, and the devices that it is for."""

    name: str
    devices: tuple[str, ...]
    graphs: dict[str, GraphEntry]
    accuracy: Accuracy

    @property
    def bytes(self) -> int:
        """Size of the graphs on disk."""
        return sum(file.bytes for graph in self.graphs.values() for file in graph.files)


@dataclass(frozen=True)
class SelfTestCase:
    """A prompt in pixels of the self-test picture, and the mask that the verified bundle gave.

    `mask` is an 8-bit PNG, 255 inside. `multimask_output` and `index` say which mask it is.
    """

    mask: FileEntry
    multimask_output: bool
    index: int
    box: tuple[float, float, float, float] | None = None
    point_coords: tuple[tuple[float, float], ...] | None = None
    point_labels: tuple[int, ...] | None = None


@dataclass(frozen=True)
class SelfTest:
    picture: FileEntry
    min_iou: float
    cases: tuple[SelfTestCase, ...]


@dataclass(frozen=True)
class ModelCard:
    """Where the weights came from and what they may be used for. `seed`: of random weights, None for trained ones."""

    model: str
    family: str
    license: str
    source: str
    checkpoint_sha256: str
    seed: int | None = None


@dataclass(frozen=True)
class Manifest:
    schema: int
    model: ModelCard
    target: str
    precision: str
    preprocessing: Preprocessing
    mask_rule: MaskRule
    variants: tuple[BundleVariant, ...]
    selftest: SelfTest
    extras: tuple[FileEntry, ...]
    tools: dict[str, str]
    created: str

    def files(self) -> Iterator[FileEntry]:
        """Every file of the bundle but `bundle.json` itself."""
        for variant in self.variants:
            for graph in variant.graphs.values():
                yield from graph.files
        yield self.selftest.picture
        yield from (case.mask for case in self.selftest.cases)
        yield from self.extras


def read_manifest(bundle: Path) -> Manifest:
    """Return the bundle's manifest once every file in it is what the manifest says.

    Raises:
        BundleError: not a bundle, another schema, a path that leaves the folder, a missing, changed or
            truncated file, or numbers that no model has.
    """
    manifest = _decode(bundle)
    _check_numbers(bundle, manifest)
    for entry in manifest.files():
        try:
            _check_file(bundle, entry)
        except OSError as exc:
            raise BundleError(
                f"{bundle}: {entry.path} cannot be read ({exc.strerror}); mend that, or copy the bundle again"
            ) from exc
    listed = {entry.path for entry in manifest.files()}
    for variant in manifest.variants:
        for graph in variant.graphs.values():
            _check_open_path(bundle, graph.open_path, listed)
    _check_nothing_else(bundle, listed)
    return manifest


def inside(bundle: Path, path: str) -> Path:
    """Return `bundle / path`, refusing absolute paths, `..`, back-slashes, drives and symlinks out."""
    if leaves(bundle, path):
        raise BundleError(
            f"{bundle}: {MANIFEST_NAME} names {path[:200]!r}, which leaves the bundle; do not use this bundle"
        )
    return bundle / PurePosixPath(path)


def leaves(folder: Path, path: str) -> bool:
    """Return whether a POSIX path from a stranger is anything but one below the folder, links followed."""
    parts = PurePosixPath(path)
    if len(path) > MAX_PATH or any(len(part.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES for part in parts.parts):
        return True  # no file system has such a name, so that asking one would be an error of its own
    hostile = not path or parts.is_absolute() or ".." in parts.parts or "\\" in path or ":" in path or "\0" in path
    try:
        return hostile or not (folder / parts).resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # links in a circle
        return True


def file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the JSON text, indented, keys in the order of the dataclasses."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def _decode(bundle: Path) -> Manifest:
    text = _read_text(bundle)
    try:
        raw = msgspec.json.decode(text)
        schema = raw.get("schema") if isinstance(raw, Mapping) else None
        if schema != SCHEMA_VERSION:
            raise BundleError(
                f"{bundle}: schema {schema!r}, this version reads {SCHEMA_VERSION}; "
                "export it again or install a newer sam-export"
            )
        return msgspec.json.decode(text, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise BundleError(
            f"{bundle}: {MANIFEST_NAME} is not a valid manifest ({exc}); export the bundle again"
        ) from exc


def _read_text(bundle: Path) -> bytes:
    path = bundle / MANIFEST_NAME
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise BundleError(
                f"{bundle}: {MANIFEST_NAME} is larger than {MAX_MANIFEST_BYTES} bytes; not a bundle of ours"
            )
        return path.read_bytes()
    except (OSError, ValueError) as exc:
        reason = (
            f"no {MANIFEST_NAME} in it" if isinstance(exc, FileNotFoundError) else f"{MANIFEST_NAME} cannot be read"
        )
        found = "there is nothing of that name" if not bundle.exists() else "a file" if bundle.is_file() else reason
        raise BundleError(f"{bundle}: not a bundle ({found}); give a folder that sam-export wrote") from exc


def _check_numbers(bundle: Path, manifest: Manifest) -> None:
    wrong = next(impossible_numbers(manifest.preprocessing, manifest.mask_rule), None)
    if wrong is not None:
        raise BundleError(f"{bundle}: {MANIFEST_NAME} has {wrong}; export the bundle again")


def _check_open_path(bundle: Path, path: str, listed: set[str]) -> None:
    """An engine opens a listed file, or a folder of listed files."""
    inside(bundle, path)
    if path not in listed and not any(entry.startswith(f"{path.rstrip('/')}/") for entry in listed):
        raise BundleError(f"{bundle}: {MANIFEST_NAME} opens {path!r}, which it does not list; export the bundle again")


def _check_nothing_else(bundle: Path, listed: set[str]) -> None:
    """Refuse a file without a hash, and a link out: engines also read what lies beside the file that they open."""
    for path in bundle.rglob("*"):
        name = path.relative_to(bundle).as_posix()
        if path.is_symlink() and leaves(bundle, name):
            raise BundleError(f"{bundle}: {name!r} is a link that leaves the bundle; do not use this bundle")
        if path.is_file() and name not in listed and name != MANIFEST_NAME and not path.name.startswith("."):
            raise BundleError(f"{bundle}: {name} is not listed in {MANIFEST_NAME}; remove it, or copy the bundle again")


def _check_file(bundle: Path, entry: FileEntry) -> None:
    path = inside(bundle, entry.path)
    if not path.is_file():
        raise BundleError(f"{bundle}: {entry.path} is missing; export or copy the bundle again")
    size = path.stat().st_size
    if size != entry.bytes:
        raise BundleError(
            f"{bundle}: {entry.path} has {size} bytes, {MANIFEST_NAME} says {entry.bytes}; copy the bundle again"
        )
    if file_sha256(path) != entry.sha256:
        raise BundleError(
            f"{bundle}: {entry.path} was changed (sha256 differs from {MANIFEST_NAME}); export the bundle again"
        )
