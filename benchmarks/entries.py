"""What each that took part is: whose weights, how large, and how exact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import SamExportError
from ..manifest import inside
from ..verify.pictures import picture_set
from ..verify.suite import Suite, build_suite
from .contestants import Contestant
from .lineup import Given
from .lineup_names import EAGER
from .peer_graphs import read_graphs
from .peer_making import Source
from .rounds import Timing
from .run_record import Absent, Entry, Scores, Size
from .scores import UNTRAINED, measured_scores, reference_scores, scores_of_bundle
from .sizes import measured_size

Progress = Callable[[str, int, int], None]
NOT_IN_QUICK = "not measured in a quick run"


@dataclass(frozen=True)
class Field:
    """Who takes part, on which weights."""

    given: tuple[Given, ...]
    source: Source
    contestants: tuple[Contestant, ...]
    absent: tuple[Absent, ...]

    @property
    def web(self) -> tuple[Given, ...]:
        """Those that a browser runs, in a page of its own."""
        return tuple(one for one in self.given if one.manifest.target == "web")

    def manifest_of(self, one: Contestant) -> Given | None:
        return next((given for given in self.given if str(given.path) == one.path), None)


def suite_of(source: Source, progress: Progress) -> Suite | None:
    if not source.model.weights_trained:
        return None
    return build_suite(source.model, picture_set("gate"), fewer_if_slow=True, progress=progress)


def entry_of(timing: Timing, field: Field, suite: Suite | None, progress: Progress) -> Entry:
    one = timing.contestant
    given = field.manifest_of(one)
    trained = field.source.model.weights_trained
    scores, note = _scores(one, given, suite, progress) if trained else (None, UNTRAINED)
    return Entry(
        name=one.name,
        kind=one.kind,
        what=one.what if one.kind != "peer" else f"{one.what} ({read_graphs(Path(one.path)).made_by})",
        target=given.manifest.target if given else "",
        precision=given.manifest.precision if given else "",
        engines=timing.engines,
        size=_size(one, given),
        scores=scores,
        scores_note=note,
        openings=timing.openings,
        stages=timing.stages,
        peak_bytes=timing.peak_bytes,
    )


def _scores(one: Contestant, given: Given | None, suite: Suite | None, progress: Progress) -> tuple[Scores | None, str]:
    """Return the scores, or why there are none."""
    if given is not None and one.compute_precision is None:
        return scores_of_bundle(given.manifest.variants[0].accuracy), ""
    if suite is None:
        return None, NOT_IN_QUICK
    if one.name == EAGER:
        return reference_scores(suite), ""
    reason = _unscored(one)
    if reason is not None:
        return None, reason
    try:
        return measured_scores(one, suite, progress), ""
    except SamExportError as exc:
        return None, str(exc)


def _unscored(one: Contestant) -> str | None:
    """Return why the masks are not compared; None if they are."""
    if one.compiled:
        return "not measured: each number of points would be compiled anew"
    if one.kind == "peer" and read_graphs(Path(one.path)).form == "optimum":
        return "its weights are random"
    return None


def _size(one: Contestant, given: Given | None) -> Size | None:
    """Return the graphs' size; PyTorch has no file that is shipped with what runs it."""
    if given is not None:
        graphs = given.manifest.variants[0].graphs.values()
        return measured_size(inside(given.path, file.path) for graph in graphs for file in graph.files)
    if one.kind == "peer":
        return measured_size(Path(one.path) / name for name in read_graphs(Path(one.path)).file_names)
    return None
