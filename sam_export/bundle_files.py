"""The files of a bundle's graphs: copied, kept once where variants share them, weighed as a host would send them."""

from __future__ import annotations

import shutil
from pathlib import Path

from .contract import Graph
from .manifest import FileEntry, GraphEntry, file_sha256
from .optional import import_optional

# 0.04 s for each MB of LiteMedSAM's 8-bit weights; 11, the slowest, takes 2.3 s and saves 0.15 % more.
QUALITY = 9
SUFFIX = ".br"


def compress(graph: Graph) -> None:
    """Write each file of a graph compressed beside it, as hosts that serve brotli look for it.

    Raises:
        MissingDependencyError: brotli is not installed.
    """
    brotli = import_optional("brotli", purpose="measuring what a page downloads", extra="web")
    for file in _sources(graph):
        _compressed(file).write_bytes(brotli.compress(file.read_bytes(), quality=QUALITY))


def brotli_bytes(graph: Graph) -> int | None:
    """Return the size of a graph that was compressed, None of one that was not."""
    found = [_compressed(file) for file in _sources(graph)]
    return sum(file.stat().st_size for file in found) if all(file.is_file() for file in found) else None


def _sources(graph: Graph) -> list[Path]:
    return [graph.path.parent / file for file in graph.files]


def _compressed(file: Path) -> Path:
    return file.with_name(file.name + SUFFIX)


class GraphFiles:
    """Writes the graphs of all variants into a folder, and what is compressed of them if it is to be kept."""

    def __init__(self, staging: Path, *, keep_compressed: bool) -> None:
        self._staging, self._keep = staging, keep_compressed
        self._written: dict[tuple[str, ...], GraphEntry] = {}
        self.compressed: list[FileEntry] = []

    def add(self, graph: Graph, folder: str) -> GraphEntry:
        """Return the graph's entry; its files are in `folder`, or where another variant has the very same."""
        key = (graph.path.name, *graph.files, *map(file_sha256, _sources(graph)))
        known = self._written.get(key)
        if known is not None:
            return GraphEntry(graph.contract, known.open_path, known.files, graph.recipe, known.brotli_bytes)
        files = tuple(
            self._copied(source, folder + file) for file, source in zip(graph.files, _sources(graph), strict=True)
        )
        size = brotli_bytes(graph)
        if self._keep and size is not None:
            pairs = zip(graph.files, _sources(graph), strict=True)
            self.compressed += [self._copied(_compressed(source), folder + file + SUFFIX) for file, source in pairs]
        self._written[key] = GraphEntry(graph.contract, folder + graph.path.name, files, graph.recipe, size)
        return self._written[key]

    def entry(self, path: str) -> FileEntry:
        """Return what the manifest says of a file that lies in the folder."""
        file = self._staging / path
        return FileEntry(path, file_sha256(file), file.stat().st_size)

    def _copied(self, source: Path, path: str) -> FileEntry:
        target = self._staging / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        return self.entry(path)
