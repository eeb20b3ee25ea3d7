"""One run of the benchmark: who takes part, turn by turn, what each weighs and how exact it is."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ..bundle import tool_versions
from ..errors import NotVerifiableError, RequestError
from ..manifest import inside
from ..search_record import SearchRecord
from ..verify.pictures import picture_set
from .browser import time_each_in_browser
from .browser_record import BrowserRun
from .contestants import Contestant
from .entries import Field, entry_of, suite_of
from .lineup import Given, bundles, load_source, peers, pytorch, read_bundles
from .machine import this_machine, usable_cores
from .peer_graphs import PLAIN, read_graphs
from .peer_making import default_folder, require_peers
from .roofline_runs import Encoder, measure_rooflines
from .rounds import Plan, Timing, Timings, time_all
from .run_record import SCHEMA_VERSION, STAGES, Absent, Request, Run, Stage

Progress = Callable[[str, int, int], None]
LEAST_ROUNDS, MOST_ROUNDS = 3, 1000
OPENINGS = 2
WARMUPS = 2
BROWSER_ROUNDS, QUICK_BROWSER_ROUNDS = 7, 3
POINTS_PER_SIDE = 6
# What a quick run takes of the seconds, and of the sides of the grid.
QUICK_SHARE, QUICK_POINTS = 0.1, 4
LEFT_OUT_IF_QUICK = ("decoder_64",)


@dataclass(frozen=True)
class BenchRequest:
    """What to measure. `threads`: None for all cores. `folder`: where peers' environments and graphs are kept.

    Raises:
        RequestError: a number of rounds or a peer that there is not.
    """

    bundles: tuple[Path, ...]
    threads: int | None = None
    rounds: int = 15
    peers: tuple[str, ...] = ()
    quick: bool = False
    checkpoint: Path | None = None
    folder: Path | None = None
    compiled: bool = True

    def __post_init__(self) -> None:
        if not LEAST_ROUNDS <= self.rounds <= MOST_ROUNDS:
            raise RequestError(f"--rounds {self.rounds}: give {LEAST_ROUNDS} to {MOST_ROUNDS}; fewer have no spread")
        require_peers(self.peers)


def run_bench(
    request: BenchRequest, progress: Progress, searches: Mapping[str, tuple[SearchRecord, ...]] | None = None
) -> Run:
    """Return what was measured.

    Args:
        searches: what found the quantization of a bundle, by its name, for the report.

    Raises:
        BundleError, RequestError, CheckpointError: the bundles or their weights cannot be used.
        NotVerifiableError: no bundle runs on this machine.
        ConversionError: the baseline could not be made.
    """
    field = _line_up(request)
    asked, stages = _request(request), _stages(request)
    rounds = _timed(field, asked, stages, progress)
    browsers, unrun = _in_browser(field, request, progress)
    absent = (*field.absent, *rounds.absent, *unrun)
    _require_bundle(rounds.found, browsers, absent)
    rooflines, peaks = ((), ()) if request.quick else measure_rooflines(_encoders(field, rounds.found), progress)
    suite = None if request.quick else suite_of(field.source, progress)
    return Run(
        schema=SCHEMA_VERSION,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        model=field.source.model.variant.name,
        checkpoint_sha256=field.source.model.checkpoint_sha256,
        machine=this_machine(),
        disturbance=rounds.disturbance,
        tools=dict(tool_versions()),
        request=asked,
        baseline=PLAIN,
        stages=stages,
        entries=tuple(entry_of(timing, field, suite, progress) for timing in rounds.found),
        absent=absent,
        rooflines=rooflines,
        peaks=peaks,
        searches=dict(searches or {}),
        browsers=browsers,
    )


def _timed(field: Field, asked: Request, stages: tuple[Stage, ...], progress: Progress) -> Timings:
    with tempfile.TemporaryDirectory(prefix="sam-export-") as folder:
        picture = Path(folder) / "picture.npy"
        np.save(picture, picture_set("gate")[0].image)
        plan = Plan(
            field.contestants,
            stages,
            str(picture),
            asked.points_per_side,
            asked.rounds,
            1 if asked.quick else OPENINGS,
            asked.warmups,
            baseline=PLAIN,
        )
        return time_all(plan, progress)


def _line_up(request: BenchRequest) -> Field:
    given = read_bundles(request.bundles)
    source = load_source(given[0].manifest.model, request.checkpoint)
    threads = request.threads or usable_cores()
    made, absent = peers(request.peers, given, source, threads, request.folder or default_folder())
    torch, no_compiler = pytorch(source, threads)
    if request.quick or not request.compiled:
        torch = torch[:1]
    contestants = (made[0], *torch, *bundles(given, threads), *made[1:])
    return Field(given, source, contestants, (*absent, *no_compiler))


def _request(request: BenchRequest) -> Request:
    picture = picture_set("gate")[0]
    height, width = picture.image.shape[:2]
    return Request(
        threads=request.threads or usable_cores(),
        rounds=request.rounds,
        warmups=1 if request.quick else WARMUPS,
        quick=request.quick,
        picture=picture.name,
        picture_hw=(height, width),
        points_per_side=QUICK_POINTS if request.quick else POINTS_PER_SIDE,
    )


def _stages(request: BenchRequest) -> tuple[Stage, ...]:
    share = QUICK_SHARE if request.quick else 1.0
    points = (QUICK_POINTS if request.quick else POINTS_PER_SIDE) ** 2
    return tuple(
        Stage(one.name, one.what, points if one.name == "everything" else one.prompts, one.seconds * share)
        for one in STAGES
        if not (request.quick and one.name in LEFT_OUT_IF_QUICK)
    )


def _in_browser(
    field: Field, request: BenchRequest, progress: Progress
) -> tuple[tuple[BrowserRun, ...], tuple[Absent, ...]]:
    threads = [request.threads or usable_cores()]
    rounds = min(request.rounds, QUICK_BROWSER_ROUNDS if request.quick else BROWSER_ROUNDS)
    return time_each_in_browser([one.path for one in field.web], field.source.model, threads, rounds, progress)


def _require_bundle(found: Sequence[Timing], browsers: Sequence[BrowserRun], absent: Sequence[Absent]) -> None:
    """Raise unless at least one bundle was timed, and the baseline that it is compared with."""
    names = {timing.contestant.name for timing in found}
    reasons = {one.name: one.reason for one in absent}
    if PLAIN not in names:
        raise NotVerifiableError(f"bench: the baseline cannot be run here ({reasons.get(PLAIN)}); install onnxruntime")
    if not browsers and not any(timing.contestant.kind == "bundle" for timing in found):
        why = "; ".join(f"{one.name}: {one.reason}" for one in absent if one.asked)
        raise NotVerifiableError(f"bench: no bundle can be run on this machine ({why})")


def _encoders(field: Field, found: Sequence[Timing]) -> tuple[Encoder, ...]:
    """Return the encoders that onnxruntime and OpenVINO ran: the bundles', and the plain export's."""
    encoders = []
    for timing in found:
        one, report = timing.contestant, timing.engines["image_encoder"]
        given = field.manifest_of(one)
        peers_own = given is None and one.asked and one.name != PLAIN
        if one.kind == "pytorch" or report.engine not in ("onnxruntime", "openvino") or peers_own:
            continue
        graph = _encoder_path(one, given)
        hw = field.source.model.variant.preprocessing.image_hw
        encoders.append(Encoder(one.name, report.engine, str(graph), hw, report.compute_precision, one.threads))
    return tuple(encoders)


def _encoder_path(one: Contestant, given: Given | None) -> Path:
    if given is not None:
        return inside(given.path, given.manifest.variants[0].graphs["image_encoder"].open_path)
    return Path(one.path) / read_graphs(Path(one.path)).files["image_encoder"]
