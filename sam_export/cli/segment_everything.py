"""Everything in many pictures: one result a picture and format; what cannot be read is listed, and the rest goes on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath

from rich.console import Console

from ..contract import EngineOptions, EngineReport
from ..errors import ImageError, OutputError
from ..manifest import file_sha256
from ..runtimes import AutomaticMaskGenerator, open_bundle, read_image
from ..runtimes.automatic_options import GeneratorKeywords
from ..runtimes.outputs import WRITERS, FoundObject, OutlineStyle, PictureResult, merged_coco
from .arguments import require_folder
from .everything_journal import NAME, Asked, Journal, done_picture, journalled
from .picture_files import FailedRow, PictureFile, picture_files
from .printing import print_json, print_text
from .progress import stage_progress

MERGED = "coco.json"


@dataclass(frozen=True)
class EverythingRequest:
    bundle: Path
    images: tuple[Path, ...]
    out: Path
    formats: tuple[str, ...]
    style: OutlineStyle
    keywords: GeneratorKeywords
    overwrite: bool
    as_json: bool
    options: EngineOptions


@dataclass(frozen=True)
class PictureRow:
    """One picture as `segment --everything --json` gives it. `earlier`: an earlier run had written it."""

    picture: str
    objects: int
    seconds: float
    earlier: bool


@dataclass(frozen=True)
class EverythingResult:
    out: str
    formats: tuple[str, ...]
    pictures: tuple[PictureRow, ...]
    failed: tuple[FailedRow, ...]
    notes: tuple[str, ...]
    engines: dict[str, EngineReport]


def segment_everything(request: EverythingRequest, console: Console, errors: Console) -> int:
    """Write the results of every picture into the folder and print a summary; 2 if any picture cannot be used.

    Raises:
        OutputError: the folder holds anything else, or the results of another request.
        BundleError, ImageError, RequestError: a bad bundle, no pictures, bad options; nothing is written.
    """
    require_folder(request.out)
    pictures = picture_files(request.images, without=request.out)
    segmenter = open_bundle(request.bundle, options=request.options)
    generator = AutomaticMaskGenerator(segmenter, **request.keywords)
    if request.overwrite:
        _clear(request.out)
    journal = Journal(request.out, _asked(request, generator))
    rows: list[PictureRow] = []
    failed: list[FailedRow] = []
    with stage_progress(errors) as progress, _writing(request.out):
        for index, picture in enumerate(pictures):
            progress("pictures", index, len(pictures))
            try:
                rows.append(_row(request, generator, journal, picture, partial(progress, "points")))
            except ImageError as exc:
                failed.append(FailedRow(str(picture.path), str(exc)))
        progress("pictures", len(pictures), len(pictures))
        if "coco" in request.formats:
            _merge(request.out, [picture for picture in pictures if journal.earlier(picture) is not None])
    result = EverythingResult(
        str(request.out), request.formats, tuple(rows), tuple(failed), generator.notes, segmenter.reports
    )
    _print(result, console, as_json=request.as_json)
    return ImageError.exit_status if failed else 0


def _asked(request: EverythingRequest, generator: AutomaticMaskGenerator) -> Asked:
    return Asked(
        bundle=file_sha256(request.bundle / "bundle.json"),
        formats=request.formats,
        style=str(request.style),
        generator=str(generator.options),
    )


def _row(
    request: EverythingRequest,
    generator: AutomaticMaskGenerator,
    journal: Journal,
    picture: PictureFile,
    progress: Callable[[int, int], None],
) -> PictureRow:
    """Segment one picture and write it, unless an earlier run has."""
    paths = {name: _result(request.out, picture, name) for name in request.formats}
    earlier = journal.earlier(picture)
    if earlier is not None and all(path.exists() for path in paths.values()):
        return PictureRow(str(picture.path), earlier.objects, earlier.seconds, earlier=True)
    started = time.perf_counter()
    image = read_image(picture.path)
    objects = [
        FoundObject(found.runs, found.predicted_iou, found.stability_score, found.point)
        for found in generator.candidates(image, progress)
    ]
    for name, path in paths.items():
        beside = request.out if name == "coco" else path.parent  # COCO files are merged in the folder itself
        seen = PurePath(os.path.relpath(picture.path, beside)).as_posix()
        WRITERS[name].write(PictureResult(image, seen, objects), request.style, path)
    done = done_picture(picture, len(objects), time.perf_counter() - started)
    journal.add(done)
    return PictureRow(str(picture.path), done.objects, done.seconds, earlier=False)


def _result(out: Path, picture: PictureFile, name: str) -> Path:
    return out / f"{picture.name}{WRITERS[name].suffix}"


def _merge(out: Path, pictures: Sequence[PictureFile]) -> None:
    """Write one COCO file of all pictures, whole or not at all."""
    partial_file = out / f".{MERGED}.partial"
    partial_file.write_bytes(merged_coco([_result(out, picture, "coco").read_bytes() for picture in pictures]))
    partial_file.replace(out / MERGED)


def _clear(out: Path) -> None:
    """Remove the results of an earlier run, and nothing else."""
    if not (out / NAME).exists():
        return
    for name in journalled(out):
        for writer in WRITERS.values():
            (out / f"{name}{writer.suffix}").unlink(missing_ok=True)
    for path in (out / MERGED, out / NAME):
        path.unlink(missing_ok=True)
    for folder in sorted((path for path in out.rglob("*") if path.is_dir()), reverse=True):
        with suppress(OSError):  # it holds something else
            folder.rmdir()


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise OutputError(
            f"{exc.filename or out}: cannot be written ({exc.strerror or exc}); "
            "mend that, and give the same command to go on"
        ) from exc


def _print(result: EverythingResult, console: Console, *, as_json: bool) -> None:
    if as_json:
        print_json(console, result)
    else:
        new = [row for row in result.pictures if not row.earlier]
        seconds = sum(row.seconds for row in new) / max(1, len(new))
        total = sum(row.objects for row in result.pictures)
        earlier = len(result.pictures) - len(new)
        counts = f"{len(new)} pictures segmented, {earlier} were already, {len(result.failed)} failed"
        lines = [f"{result.out}: {counts}; {total} objects, {seconds:.1f} s a picture; {', '.join(result.formats)}"]
        lines += [f"  {row.objects} objects  {row.picture}" for row in new]
        lines += [f"  failed: {row.error}" for row in result.failed]
        lines += [f"  note: {note}" for note in result.notes]
        text = "\n".join(lines)
        print_text(console, text)
