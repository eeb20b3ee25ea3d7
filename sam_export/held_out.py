"""That no picture which a quantizer goes by is one that its result is measured on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from .errors import RequestError
from .jobs import ExportRequest, Job, is_quantized
from .precision import of_components
from .quantize.recipes import SEARCHED
from .verify.pictures import Picture, picture_set


@dataclass(frozen=True, eq=False)
class PictureSource:
    """Pictures and where they come from; `is_users`: whether who asks can take one out."""

    name: str
    pictures: tuple[Picture, ...]
    is_users: bool


def require_held_out(request: ExportRequest, jobs: Sequence[Job], measured_on: tuple[Picture, ...]) -> None:
    """Raise RequestError if a picture of the calibration, of a search or of the evaluation is one of another of them.

    The built-in sets have none in common, so that only a user's are looked at. A recipe that a search found before is
    the result of one.
    """
    sources = tuple(_sources(request, jobs, measured_on))
    for first, second in combinations(sources, 2):
        if first.is_users or second.is_users:
            require_disjoint(first, second)


def require_disjoint(first: PictureSource, second: PictureSource) -> None:
    """Raise RequestError for the first picture that is in both."""
    known = {picture.sha256: picture.name for picture in first.pictures}
    shared = next((picture for picture in second.pictures if picture.sha256 in known), None)
    if shared is None:
        return
    own = second if second.is_users else first
    name = shared.name if own is second else known[shared.sha256]
    raise RequestError(
        f"{name} of {own.name} is in {(first if own is second else second).name}, too; a picture that a quantizer "
        f"went by says nothing when it is measured on; take it out of {own.name}"
    )


def _sources(request: ExportRequest, jobs: Sequence[Job], measured_on: tuple[Picture, ...]) -> Iterator[PictureSource]:
    quantized = [job for job in jobs if is_quantized(job)]
    if not quantized:
        return
    given = request.quantization.calibration
    if given:
        yield PictureSource("--calibration", given, is_users=True)
    else:
        yield PictureSource("the built-in calibration set", picture_set("calibration"), is_users=False)
    if any(precision in SEARCHED for job in quantized for precision in of_components(job.precision).values()):
        yield PictureSource("the built-in search set", picture_set("search"), is_users=False)
    is_users = request.evaluation is not None
    yield PictureSource("--evaluation" if is_users else "the built-in gate set", measured_on, is_users)
