"""Writing a bundle: only what passed the gate, and all of it or nothing.

A bundle is built in a hidden sibling folder and renamed into place, so a half-written one never exists.
"""

from __future__ import annotations

import importlib.metadata
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from .bundle_files import GraphFiles
from .contract import Graph, MaskRule, Preprocessing
from .errors import AccuracyError, NotVerifiableError, OutputError, RequestError
from .manifest import (
    MANIFEST_NAME,
    SCHEMA_VERSION,
    Accuracy,
    BundleVariant,
    FileEntry,
    GraphEntry,
    Manifest,
    ModelCard,
    SelfTest,
    encode_manifest,
)
from .staging import settle, staged_folder
from .verification import Failed, NotRunnable, Passed, Verification

EPOCH_VARIABLE = "SOURCE_DATE_EPOCH"
TOOLS = ("sam-export", "torch", "onnx", "onnxruntime", "openvino", "coremltools", "numpy")


@dataclass(frozen=True)
class Candidate:
    """One set of graphs and the gate's verdict on it."""

    name: str
    devices: tuple[str, ...]
    graphs: tuple[Graph, ...]
    verification: Verification


@dataclass(frozen=True)
class BundleDraft:
    """All that a bundle will hold. `precision`: of its one variant, or those of all, with commas between them.
    `extras` are small files by bundle path (report, self-test, recipe). `keep_compressed`: what was compressed of the
    graphs lies beside them, for hosts that serve it."""

    model: ModelCard
    target: str
    precision: str
    preprocessing: Preprocessing
    mask_rule: MaskRule
    candidates: tuple[Candidate, ...]
    selftest: SelfTest
    extras: Mapping[str, bytes]
    keep_compressed: bool = False

    @property
    def name(self) -> str:
        names = [candidate.name for candidate in self.candidates]
        return bundle_name(self.model.model, self.target, names if len(names) > 1 else [self.precision])


def bundle_name(model: str, target: str, precisions: Sequence[str]) -> str:
    """Return a bundle's name; that of one with several variants names none of them."""
    return f"{model}-{target}-{precisions[0]}" if len(precisions) == 1 else f"{model}-{target}"


def write_bundle(draft: BundleDraft, out: Path, *, overwrite: bool = False) -> Path:
    """Return the folder `out/<model>-<target>-<precision>`, or without a precision if there are several, complete.

    Raises:
        AccuracyError: a candidate failed the gate; nothing is written.
        NotVerifiableError: a candidate could not be evaluated; nothing is written.
        OutputError: the folder exists, or cannot be written; nothing of the old one is lost.
    """
    for candidate in draft.candidates:
        require_passed(draft.name, candidate.verification)
    final = out / draft.name
    require_free(final, overwrite=overwrite)
    with staged_folder(final, overwrite=overwrite) as staging:
        files, several = GraphFiles(staging, keep_compressed=draft.keep_compressed), len(draft.candidates) > 1
        variants = tuple(_variant(candidate, files, several) for candidate in draft.candidates)
        extras = (*_write_extras(draft, files, staging), *files.compressed)
        (staging / MANIFEST_NAME).write_bytes(encode_manifest(_manifest(draft, variants, extras)))
    return final


def require_free(final: Path, *, overwrite: bool) -> None:
    """Raise if the bundle exists already or cannot be written there, before any work is spent on it."""
    settle(final)
    taken = final.exists() or final.is_symlink()
    if taken and not overwrite:
        raise OutputError(f"{final} exists already; give --overwrite to replace it, or another -o")
    if taken and not _replaceable(final):
        raise OutputError(
            f"{final}: is no bundle, so --overwrite does not replace it; move it away, or give another -o"
        )
    place = next(parent for parent in final.absolute().parents if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=place):
            return
    except OSError as exc:
        raise OutputError(f"{final}: {place} cannot be written ({exc.strerror or exc}); give another -o") from exc


def _replaceable(final: Path) -> bool:
    """An earlier bundle, whole or not, or an empty folder. A link that leads nowhere is neither."""
    return final.is_dir() and ((final / MANIFEST_NAME).is_file() or not any(final.iterdir()))


def require_passed(name: str, verification: Verification) -> None:
    """Raise what a verdict other than `Passed` means for the bundle of that name."""
    match verification:
        case Passed():
            return
        case Failed(reasons=reasons):
            raise AccuracyError(f"{name}: " + "; ".join(reasons))
        case NotRunnable(reason=reason):
            raise NotVerifiableError(f"{name}: {reason}")


def _variant(candidate: Candidate, files: GraphFiles, several: bool) -> BundleVariant:
    folder = f"{candidate.name}/" if several else ""
    graphs: dict[str, GraphEntry] = {graph.contract.component: files.add(graph, folder) for graph in candidate.graphs}
    assert isinstance(candidate.verification, Passed)
    return BundleVariant(candidate.name, candidate.devices, graphs, _accuracy(candidate.verification))


def _accuracy(passed: Passed) -> Accuracy:
    found = passed.measurement
    return Accuracy(
        evaluated_by=found.evaluated_by,
        suite_sha256=found.suite_sha256,
        limits=passed.limits,
        stable=found.stable,
        harsh=found.harsh,
        parity=found.parity,
        min_embedding_snr_db=min(score.snr_db for score in found.tensors),
        weights_trained=found.weights_trained,
        notes=found.notes,
        truth=found.truth,
    )


def _write_extras(draft: BundleDraft, files: GraphFiles, staging: Path) -> tuple[FileEntry, ...]:
    for path, content in draft.extras.items():
        target = staging / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    selftest = {draft.selftest.picture.path, *(case.mask.path for case in draft.selftest.cases)}
    return tuple(files.entry(path) for path in draft.extras if path not in selftest)


def _manifest(draft: BundleDraft, variants: tuple[BundleVariant, ...], extras: tuple[FileEntry, ...]) -> Manifest:
    return Manifest(
        schema=SCHEMA_VERSION,
        model=draft.model,
        target=draft.target,
        precision=draft.precision,
        preprocessing=draft.preprocessing,
        mask_rule=draft.mask_rule,
        variants=variants,
        selftest=draft.selftest,
        extras=extras,
        tools=dict(tool_versions()),
        created=_now().isoformat(timespec="seconds"),
    )


def _now() -> datetime:
    """Return the time, or the one that reproducible builds are given instead (SOURCE_DATE_EPOCH, seconds since 1970).

    Raises:
        RequestError: it is no such number.
    """
    given = os.environ.get(EPOCH_VARIABLE)
    if given is None:
        return datetime.now(UTC)
    try:
        return datetime.fromtimestamp(int(given), UTC)
    except (ValueError, OverflowError, OSError) as exc:
        raise RequestError(
            f"{EPOCH_VARIABLE}={given!r}: allowed: seconds since 1970, a whole number; unset it"
        ) from exc


@cache
def tool_versions() -> Mapping[str, str]:
    """Return the version of each of `TOOLS` that is installed."""
    installed = {
        dist.metadata["Name"].lower(): dist.version
        for dist in importlib.metadata.distributions()
        if dist.metadata["Name"]
    }
    return {name: installed[name] for name in TOOLS if name in installed}
