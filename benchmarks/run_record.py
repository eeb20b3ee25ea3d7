"""What one run of `sam-export bench` measured, as data: the report and comparisons are made from its JSON alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from ..contract import EngineReport
from ..errors import RequestError
from ..runtimes.timing import Samples
from ..search_record import SearchRecord
from .browser_record import BrowserRun
from .machine import Disturbance, Machine

SCHEMA_VERSION = 1
MAX_RUN_BYTES = 64 * 2**20
Kind = Literal["bundle", "peer", "pytorch"]


@dataclass(frozen=True)
class Stage:
    """Something that is timed. `prompts`: how many it answers. `seconds`: how long it may take in a run, roughly."""

    name: str
    what: str
    prompts: int
    seconds: float


STAGES = (
    Stage("encoder", "image encoder, on a prepared picture", 0, 60.0),
    Stage("decoder_1", "mask decoder, 1 box", 1, 10.0),
    Stage("decoder_8", "mask decoder, 8 boxes in one call", 8, 15.0),
    Stage("decoder_64", "mask decoder, 64 boxes in one call", 64, 40.0),
    Stage("click", "a box on an encoded picture, to the mask in the picture's size", 1, 12.0),
    Stage("new_picture", "a new picture and a box, to the mask in the picture's size", 1, 30.0),
    Stage("everything", "everything in a picture, a small grid of points", 36, 40.0),
)


@dataclass(frozen=True)
class Opening:
    """One fresh process: seconds of its start and imports, of opening (hashes, engine), of a first picture and box.

    `peak_bytes`: the most memory that it had held by then.
    """

    start_seconds: float
    open_seconds: float
    first_mask_seconds: float
    peak_bytes: int

    @property
    def to_first_mask(self) -> float:
        """Seconds from opening it to the first mask; an interpreter that runs already is what programs have."""
        return self.open_seconds + self.first_mask_seconds


@dataclass(frozen=True)
class Size:
    """Bytes on disk, and over the wire: what brotli makes of each file, None without the package brotli."""

    disk_bytes: int
    wire_bytes: int | None


@dataclass(frozen=True)
class Scores:
    """Mask IoU on stable and harsh prompts. `origin`: whose numbers these are; `evaluated_by`: what ran the graphs.

    `passed`: whether the gate's limits of the precision hold; None where it was not asked.
    """

    mean_iou: float
    p5_iou: float
    worst_iou: float
    harsh_mean_iou: float | None
    prompts: int
    pictures: int
    evaluated_by: str
    origin: Literal["bundle.json", "measured in this run", "is the reference"]
    passed: bool | None = None


@dataclass(frozen=True)
class Entry:
    """One that took part. `what`: a sentence; `engines`: what its sessions say that they really use, by component.

    `scores` is None where there are none, and `scores_note` says why. `peak_bytes`: the most memory that its process
    held in all stages.
    """

    name: str
    kind: Kind
    what: str
    target: str
    precision: str
    engines: dict[str, EngineReport]
    size: Size | None
    scores: Scores | None
    scores_note: str
    openings: tuple[Opening, ...]
    stages: dict[str, Samples]
    peak_bytes: int = 0


@dataclass(frozen=True)
class Absent:
    """One that could not take part, and why. `asked`: whether the user named it."""

    name: str
    reason: str
    asked: bool


@dataclass(frozen=True)
class Request:
    """What a run was asked. `rounds` is the most; a stage that takes long has fewer, never below its least."""

    threads: int
    rounds: int
    warmups: int
    quick: bool
    picture: str
    picture_hw: tuple[int, int]
    points_per_side: int


@dataclass(frozen=True)
class LayerTime:
    """An operation, or `calls` of one kind together: milliseconds in a run, its work, 0 where it multiplies nothing."""

    op: str
    name: str
    dtype: str
    calls: int
    milliseconds: float
    gflop: float

    @property
    def gflops(self) -> float:
        """GFLOP/s that it reaches."""
        return 1e3 * self.gflop / self.milliseconds if self.milliseconds else 0.0


@dataclass(frozen=True)
class Peak:
    """The best matrix product found on this machine in a dtype, on any engine of the run."""

    dtype: str
    gflops: float
    what: str


@dataclass(frozen=True)
class Roofline:
    """An encoder's operations. `kinds`: by type and dtype, longest first; `layers`: the longest ones, one by one."""

    name: str
    engine: str
    milliseconds: float
    kinds: tuple[LayerTime, ...]
    layers: tuple[LayerTime, ...]

    @property
    def gflop(self) -> float:
        return sum(one.gflop for one in self.kinds)


@dataclass(frozen=True)
class Run:
    """`baseline`: the entry that ratios refer to. `searches`: what the bundles' quantization was found with.

    `browsers`: web bundles, each timed in Chromium beside the plain export there.
    """

    schema: int
    created: str
    model: str
    checkpoint_sha256: str
    machine: Machine
    disturbance: Disturbance
    tools: dict[str, str]
    request: Request
    baseline: str
    stages: tuple[Stage, ...]
    entries: tuple[Entry, ...]
    absent: tuple[Absent, ...]
    rooflines: tuple[Roofline, ...] = ()
    peaks: tuple[Peak, ...] = ()
    searches: dict[str, tuple[SearchRecord, ...]] = field(default_factory=dict)
    browsers: tuple[BrowserRun, ...] = ()

    def peak(self, dtype: str) -> Peak | None:
        return next((one for one in self.peaks if one.dtype == dtype), None)

    def entry(self, name: str) -> Entry | None:
        return next((one for one in self.entries if one.name == name), None)


def encode_run(run: Run) -> bytes:
    return msgspec.json.format(msgspec.json.encode(run), indent=1) + b"\n"


def read_run(path: Path) -> Run:
    """Return the run that a file holds.

    Raises:
        RequestError: the file cannot be read, is too large, no such run, or one of another version.
    """
    try:
        if path.stat().st_size > MAX_RUN_BYTES:
            raise RequestError(f"{path}: larger than {MAX_RUN_BYTES} bytes; give the JSON of `sam-export bench`")
        text = path.read_bytes()
        raw = msgspec.json.decode(text)
        schema = raw.get("schema") if isinstance(raw, Mapping) else None
        if schema == SCHEMA_VERSION:
            return msgspec.json.decode(text, type=Run)
    except OSError as exc:
        raise RequestError(f"{path}: cannot be read ({exc.strerror}); give the JSON of `sam-export bench`") from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise RequestError(f"{path}: not a run ({exc}); give the JSON of `sam-export bench`") from exc
    raise RequestError(f"{path}: schema {schema!r}, this version reads {SCHEMA_VERSION}; measure again")
