"""Which pictures the words of a command line mean: files, folders with all below them, and globs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ImageError

GLOB = re.compile(r"[*?[]")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")


@dataclass(frozen=True)
class FailedRow:
    """A picture that could not be used, as `--json` gives it."""

    picture: str
    error: str


@dataclass(frozen=True)
class PictureFile:
    """`name`: what its results are called, a relative path, the same whenever the same words are given."""

    path: Path
    name: str


def picture_files(given: Sequence[Path], without: Path | None = None) -> tuple[PictureFile, ...]:
    """Return every picture that is meant, once. In a folder, those with the suffix of a picture that are not hidden.

    A name is the path below the folder that was given, and the whole file name where two differ only in the suffix.

    Args:
        without: a folder that is left out, since results are written there.

    Raises:
        ImageError: a glob or a folder without a picture, or two pictures whose results would have one name.
    """
    found: dict[Path, Path] = {}
    for word in given:
        for path, below in _meant(word, without):
            found.setdefault(path, below)
    stems = Counter(below.with_suffix("") for below in found.values())
    pictures: dict[str, PictureFile] = {}
    for path, below in found.items():
        name = (below if stems[below.with_suffix("")] > 1 else below.with_suffix("")).as_posix()
        if name in pictures:
            raise ImageError(
                f"{pictures[name].path} and {path}: both would be called {name}; segment them into folders of their own"
            )
        pictures[name] = PictureFile(path, name)
    return tuple(pictures.values())


def _meant(word: Path, without: Path | None) -> Iterator[tuple[Path, Path]]:
    """Yield each file with its path below what was given."""
    if word.is_dir():
        files = sorted(path for path in word.rglob("*") if _is_picture(path, word, without))
        if not files:
            raise ImageError(f"{word}: holds no picture; allowed: files ending in {', '.join(SUFFIXES)}")
        yield from ((path, path.relative_to(word)) for path in files)
    elif word.exists() or not GLOB.search(str(word)):
        yield word, Path(word.name)
    else:
        matches = _matches(word)
        if not matches:
            raise ImageError(f"{word}: no file is called so; give a picture, a folder or another glob")
        for match in matches:
            yield from _meant(match, without) if match.is_dir() else [(match, Path(match.name))]


def _is_picture(path: Path, folder: Path, without: Path | None) -> bool:
    below = path.relative_to(folder)
    hidden = any(part.startswith(".") for part in below.parts)
    inside = without is not None and without.resolve() in path.resolve().parents
    return path.suffix.lower() in SUFFIXES and not hidden and not inside and path.is_file()


def _matches(word: Path) -> list[Path]:
    """Return the files and folders that a glob means, but for hidden ones."""
    fixed = next(index for index, part in enumerate(word.parts) if GLOB.search(part))
    matches = Path(*word.parts[:fixed]).glob(str(Path(*word.parts[fixed:])))
    return sorted(path for path in matches if not path.name.startswith("."))
