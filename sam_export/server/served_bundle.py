"""The bundle that a server answers with, opened as often as it has engines, and the files of it that pages may have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..contract import EngineOptions
from ..errors import BundleError, RequestError
from ..manifest import MANIFEST_NAME, FileEntry, Manifest, ModelCard, file_sha256, inside, read_manifest
from ..runtimes import Segmenter, open_bundle

MAX_ENGINES = 64


@dataclass(frozen=True)
class ServedFile:
    path: Path
    sha256: str


@dataclass(frozen=True)
class ServedBundle:
    """`segmenters`: one an engine, all of the same bundle. `files`: what is served of it, by path in the bundle."""

    model: ModelCard
    segmenters: tuple[Segmenter, ...]
    files: Mapping[str, ServedFile]


def open_served_bundle(
    bundle: Path,
    *,
    engines: int = 1,
    options: EngineOptions | None = None,
    browser_bundle: Path | None = None,
    whole: bool = False,
) -> ServedBundle:
    """Return the bundle, ready and proved: the self-test has run on every engine.

    Args:
        browser_bundle: what pages decode with, if that is another bundle of the same checkpoint.
        whole: serve every file of it, so that pages can encode, too; otherwise the decoder's and `bundle.json` alone.

    Raises:
        BundleError: no bundle, a damaged one, or two of different checkpoints.
        SelfTestError: this machine does not give the bundle's own masks.
        RequestError, UnsupportedError, MissingDependencyError: it cannot be opened as asked.
    """
    if not 1 <= engines <= MAX_ENGINES:
        raise RequestError(f"serve: {engines} engines, allowed: 1 to {MAX_ENGINES}")
    manifest = read_manifest(bundle)
    pages = bundle if browser_bundle is None else browser_bundle
    pages_manifest = manifest if browser_bundle is None else read_manifest(browser_bundle)
    _require_same_checkpoint(bundle, manifest, pages, pages_manifest)
    segmenters = tuple(open_bundle(bundle, options=options) for _ in range(engines))
    for segmenter in segmenters:
        segmenter.selftest()
    return ServedBundle(manifest.model, segmenters, _files(pages, pages_manifest, whole=whole))


def _require_same_checkpoint(bundle: Path, manifest: Manifest, pages: Path, pages_manifest: Manifest) -> None:
    ours, theirs = manifest.model.checkpoint_sha256, pages_manifest.model.checkpoint_sha256
    if ours != theirs:
        raise BundleError(
            f"{pages}: of checkpoint {theirs[:12]}, {bundle} is of {ours[:12]}, so its decoder cannot answer on the "
            "embeddings of this server; give a bundle of the same checkpoint"
        )


def _files(bundle: Path, manifest: Manifest, *, whole: bool) -> dict[str, ServedFile]:
    entries = manifest.files() if whole else _decoder_files(manifest)
    files = {entry.path: ServedFile(inside(bundle, entry.path), entry.sha256) for entry in entries}
    index = bundle / MANIFEST_NAME
    return {**files, MANIFEST_NAME: ServedFile(index, file_sha256(index))}


def _decoder_files(manifest: Manifest) -> list[FileEntry]:
    graphs = [graph for variant in manifest.variants for graph in variant.graphs.values()]
    return [file for graph in graphs if graph.contract.component == "mask_decoder" for file in graph.files]
