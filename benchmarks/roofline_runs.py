"""Profiles of several encoders, a process each, beside the best products of the same machine."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from .peer_environment import own_process
from .roofline import RooflineRequest, RooflineResult
from .run_record import LayerTime, Peak, Roofline

MODULE = "sam_export.benchmarks.roofline"
Progress = Callable[[str, int, int], None]
LISTED_LAYERS = 40


@dataclass(frozen=True)
class Encoder:
    """An encoder's graph, and what its session said that it computes in."""

    name: str
    engine: str
    graph: str
    image_hw: tuple[int, int]
    compute_precision: str
    threads: int


def measure_rooflines(encoders: Sequence[Encoder], progress: Progress) -> tuple[tuple[Roofline, ...], tuple[Peak, ...]]:
    """Return a roofline for each encoder, and the best products of the engines that they run on.

    Raises:
        ConversionError: one of the processes failed.
    """
    if not encoders:
        return (), ()
    found = []
    for done, one in enumerate(encoders):
        progress("profiles", done, len(encoders) + 1)
        request = RooflineRequest(one.engine, one.graph, one.image_hw, one.compute_precision, one.threads)
        found.append(_roofline(one, _run(request).layers))
    progress("profiles", len(encoders), len(encoders) + 1)
    engines = tuple(dict.fromkeys(one.engine for one in encoders))
    peaks = _run(RooflineRequest(threads=encoders[0].threads, peaks_of=engines)).peaks
    progress("profiles", len(encoders) + 1, len(encoders) + 1)
    return tuple(found), peaks


def _run(request: RooflineRequest) -> RooflineResult:
    with tempfile.TemporaryDirectory(prefix="sam-export-") as folder:
        asked, answer = Path(folder) / "request.json", Path(folder) / "result.json"
        asked.write_bytes(msgspec.json.encode(request))
        own_process(MODULE, asked, answer)
        return msgspec.json.decode(answer.read_bytes(), type=RooflineResult)


def _roofline(one: Encoder, layers: Sequence[LayerTime]) -> Roofline:
    longest = sorted(layers, key=lambda layer: -layer.milliseconds)
    total = sum(layer.milliseconds for layer in layers)
    return Roofline(one.name, one.engine, total, by_kind(layers), tuple(longest[:LISTED_LAYERS]))


def by_kind(layers: Sequence[LayerTime]) -> tuple[LayerTime, ...]:
    """Return the layers of one operation and dtype together, the longest kind first."""
    kinds: dict[tuple[str, str], list[LayerTime]] = {}
    for one in layers:
        kinds.setdefault((one.op, one.dtype), []).append(one)
    summed = [
        LayerTime(op, "", dtype, len(own), sum(one.milliseconds for one in own), sum(one.gflop for one in own))
        for (op, dtype), own in kinds.items()
    ]
    return tuple(sorted(summed, key=lambda one: -one.milliseconds))
