"""What each optimisation brought, as far as a run holds both ends of it: a chain of steps for each engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..runtimes.timing import paired_ratio
from .lineup_names import COMPILED, EAGER, PLAIN_OPENVINO
from .run_record import Entry, Run

FLOATS = ("fp32", "fp16", "bf16")
# The peers that stand between the plain export and a bundle.
REWRITING = {
    "step_exporter": "this project's exporter",
    "step_folded": "norms folded, tokens projected in place of cells",
}
STEPS: tuple[str, ...] = ("encoder", "decoder_1", "decoder_64")


@dataclass(frozen=True)
class Step:
    """`ratio`: to the run's baseline; `gain`: how many times faster than the step before, None for the first."""

    label: str
    entry: str
    ms: float
    ratio: float
    gain: float | None


@dataclass(frozen=True)
class Chain:
    engine: str
    steps: tuple[Step, ...]


def chains(run: Run, stage: str) -> tuple[Chain, ...]:
    """Return PyTorch's chain, then one for each engine that a bundle ran on; those of one step say nothing."""
    orders = (("PyTorch", _pytorch(run)), ("onnxruntime", _onnx(run)), ("OpenVINO", _openvino(run)))
    found = [Chain(engine, tuple(_steps(run, order, stage))) for engine, order in orders]
    return tuple(chain for chain in found if len(chain.steps) > 1)


def _pytorch(run: Run) -> list[tuple[str, Entry | None]]:
    return [
        ("upstream's module, eager", run.entry(EAGER)),
        ("torch.compile", run.entry(COMPILED)),
        ("plain export in onnxruntime", run.entry(run.baseline)),
    ]


def _onnx(run: Run) -> list[tuple[str, Entry | None]]:
    steps = [(label, run.entry(name)) for name, label in REWRITING.items()]
    return [("plain export", run.entry(run.baseline)), *steps, *_floats(run, "onnx"), *_quantized(run, "onnx")]


def _openvino(run: Run) -> list[tuple[str, Entry | None]]:
    hints = [(f"and computed in {_computes(one)}", one) for one in run.entries if one.name.endswith("hint")]
    floats, quantized = _floats(run, "openvino"), _quantized(run, "openvino")
    return [("plain export", run.entry(PLAIN_OPENVINO)), *floats, *hints, *quantized]


def _floats(run: Run, target: str) -> list[tuple[str, Entry | None]]:
    return [("re-authored graph, fp32", one) for one in _bundles(run, target) if one.precision == "fp32"]


def _quantized(run: Run, target: str) -> list[tuple[str, Entry | None]]:
    """Return the fastest of the bundles in fewer bits."""
    fewer = [one for one in _bundles(run, target) if one.precision not in FLOATS]
    return [(f"quantized, {one.precision}", one) for one in sorted(fewer, key=_encoder_time)[:1]]


def _bundles(run: Run, target: str) -> list[Entry]:
    return [one for one in run.entries if one.target == target and not one.name.endswith("hint")]


def _computes(one: Entry) -> str:
    return one.engines["image_encoder"].compute_precision


def _encoder_time(one: Entry) -> float:
    return one.stages["encoder"].median


def _steps(run: Run, order: Sequence[tuple[str, Entry | None]], stage: str) -> Iterator[Step]:
    baseline = run.entry(run.baseline)
    before: Entry | None = None
    for label, entry in order:
        if entry is None or baseline is None or stage not in entry.stages or stage not in baseline.stages:
            continue
        own = entry.stages[stage]
        gain = None if before is None else paired_ratio(before.stages[stage], own)
        yield Step(label, entry.name, 1e3 * own.median, paired_ratio(own, baseline.stages[stage]), gain)
        before = entry
