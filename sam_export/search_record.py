"""What a search for a quantization tried and measured, as data: the report draws it, a bundle or a package can keep it.

Pure data. `quantize` makes it; who reads it needs neither torch nor an engine, and may have it from a stranger.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from .contract import ComponentName
from .errors import RequestError

SCHEMA_VERSION = 1
MAX_RECORD_BYTES = 4 * 2**20
MAX_POINTS = 400
# How the names begin of what a point does to a group besides leaving it in float, and to a module.
SPLIT, FLOAT32 = "split ", "fp32"

Preferred = Literal["speed", "size", "accuracy"]
Text = Annotated[str, msgspec.Meta(max_length=400)]
Iou = Annotated[float, msgspec.Meta(ge=0, le=1)]
Decibels = Annotated[float, msgspec.Meta(ge=-1000, le=1000)]
# Beyond these nobody measured anything.
Ratio = Annotated[float, msgspec.Meta(gt=0, le=1e4)]
Bytes = Annotated[int, msgspec.Meta(ge=0, le=2**50)]


@dataclass(frozen=True)
class TryLimits:
    """The least mask IoU on stable prompts that a point had to reach.

    `margin`: how much of what the gate lets go was kept back for pictures that were not searched on, 0..1.
    """

    mean_iou: Iou
    worst_iou: Iou
    margin: Iou = 0.0


@dataclass(frozen=True)
class SearchPoint:
    """One plan that was tried. `without`: the groups of layers that it does not round once: it leaves them in float, or
    rounds them twice (`split GROUP`); and modules whose rest computes in fp32 (`fp32 MODULE`; `fp32`: in all of them).

    `latency_ratio`: its time by the float graph's on the same engine; None where no engine here can time it.
    `bytes`: of the component on disk.
    """

    label: Text
    stable_mean: Iou
    stable_worst: Iou
    harsh_mean: Iou
    harsh_p5: Iou
    latency_ratio: Ratio | None
    bytes: Bytes
    passed: bool
    chosen: bool = False
    without: tuple[Text, ...] = ()


@dataclass(frozen=True)
class GroupHarm:
    """How much rounding a group of layers is expected to move the masks: a number that ranks, without a unit."""

    group: Text
    layers: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    harm: Annotated[float, msgspec.Meta(ge=0)]


@dataclass(frozen=True)
class AblationRow:
    """What the component reaches with one technique more, or one less, than the row before; the label says which.

    `embeddings_snr_db`: of the image embeddings against the float model's; None for a component that has none.
    """

    label: Text
    stable_mean: Iou
    stable_worst: Iou
    harsh_mean: Iou
    harsh_p5: Iou
    embeddings_snr_db: Decibels | None
    latency_ratio: Ratio | None
    bytes: Bytes


@dataclass(frozen=True)
class SearchRecord:
    """One component's search. `engine`: what measured the points, as it calls itself; empty `points`: ablation only.

    Raises:
        RequestError: more than one point is the chosen one, or the chosen one did not pass.
    """

    component: ComponentName
    preferred: Preferred
    engine: Text
    threads: Annotated[int, msgspec.Meta(ge=1, le=1024)] | None
    limits: TryLimits
    points: Annotated[tuple[SearchPoint, ...], msgspec.Meta(max_length=MAX_POINTS)] = ()
    harm: Annotated[tuple[GroupHarm, ...], msgspec.Meta(max_length=10_000)] = ()
    ablation: Annotated[tuple[AblationRow, ...], msgspec.Meta(max_length=MAX_POINTS)] = ()

    def __post_init__(self) -> None:
        chosen = [point for point in self.points if point.chosen]
        if len(chosen) > 1:
            names = ", ".join(repr(point.label) for point in chosen)
            raise RequestError(f"{self.component}: {names} are all marked as chosen, allowed is one; search again")
        if any(not point.passed for point in chosen):
            raise RequestError(f"{self.component}: {chosen[0].label!r} is chosen but did not pass; search again")

    @property
    def chosen(self) -> SearchPoint | None:
        return next((point for point in self.points if point.chosen), None)


@dataclass(frozen=True)
class _File:
    schema: int
    searches: Annotated[tuple[SearchRecord, ...], msgspec.Meta(max_length=16)]


def encode_records(records: tuple[SearchRecord, ...]) -> bytes:
    """Return the records as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(_File(SCHEMA_VERSION, records)), indent=1) + b"\n"


def decode_records(text: bytes, subject: str) -> tuple[SearchRecord, ...]:
    """Return the records in a JSON text; `subject` names it in errors.

    Raises:
        RequestError: the text is too large, is no such record, or is one of another version.
    """
    if len(text) > MAX_RECORD_BYTES:
        raise RequestError(
            f"{subject}: {len(text)} bytes, a record of a search has at most {MAX_RECORD_BYTES}; "
            "give one that sam-export wrote"
        )
    try:
        # The version first: a file of another one has other fields.
        version = msgspec.json.decode(text, type=_Version).schema
        if version == SCHEMA_VERSION:
            return msgspec.json.decode(text, type=_File).searches
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise RequestError(
            f"{subject}: not a record of a search ({exc}); give one that sam-export wrote, or search again"
        ) from exc
    raise RequestError(f"{subject}: schema {version}, this version reads {SCHEMA_VERSION}; search again")


@dataclass(frozen=True)
class _Version:
    schema: int
