"""What was exported, and compared with an independent implementation, at the sizes that are published, as a record.

`python -m sam_export.benchmarks.families` writes it; `sam-export models --matrix` and docs/families.md are made of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from .errors import RequestError
from .staging import staged_file

SHIPPED = Path(__file__).with_suffix(".json")


@dataclass(frozen=True)
class FullSizeExport:
    """One export of random weights. An export without a verdict has `error` and no numbers.

    `logit_snr_db` and `encoder_snr_db` are the least over all prompts and pictures; `mask_iou` is the mean over the
    prompts that were compared by their logits. `pictures`: how many of the gate's set. `peak_bytes` and `run_seconds`
    are of the process, which made every precision of that run, reference and gate included; `run_seconds` is None where
    other programs made it meaningless. `threads`: of torch and the engines. `date`: UTC, `2026-11-23`.
    """

    model: str
    target: str
    precision: str
    passed: bool
    error: str | None
    evaluated_by: str | None
    logit_snr_db: float | None
    encoder_snr_db: float | None
    mask_iou: float | None
    bytes: int
    export_seconds: float
    peak_bytes: int
    run_seconds: float | None
    pictures: int
    threads: int
    date: str
    processor: str
    cores: int
    tools: dict[str, str]

    @property
    def cell(self) -> tuple[str, str, str]:
        return self.model, self.target, self.precision


@dataclass(frozen=True)
class LeftOut:
    """A model on a target that was not run, with the reason."""

    model: str
    target: str
    reason: str


@dataclass(frozen=True)
class Parity:
    """The largest relative errors of one picture and one prompt, this project's modules against the `reference`.

    Each is the largest difference by the largest value, over all of the encoder's outputs, all masks and all scores.
    `test`: who measured it and holds it to 1e-4, as pytest names it.
    """

    model: str
    reference: str
    embeddings: float
    masks: float
    scores: float
    test: str
    date: str

    @property
    def largest(self) -> float:
        return max(self.embeddings, self.masks, self.scores)


@dataclass(frozen=True)
class Record:
    """All that is known, each cell once."""

    exports: tuple[FullSizeExport, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    parities: tuple[Parity, ...] = ()


def read_record(path: Path = SHIPPED) -> Record:
    """Return what a file holds, an empty record where there is none.

    Raises:
        RequestError: it is no record.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Record)
    except FileNotFoundError:
        return Record()
    except msgspec.MsgspecError as exc:
        raise RequestError(f"{path}: is no record of exports ({exc}); give another file, or a new one") from exc


def read_parities(path: Path) -> tuple[Parity, ...]:
    """Return what `pytest --parities FILE` wrote: one JSON object a line.

    Raises:
        RequestError: there is no such file, or it holds something else.
    """
    try:
        return tuple(msgspec.json.decode(line, type=Parity) for line in path.read_bytes().splitlines())
    except OSError as exc:
        raise RequestError(f"{path}: {exc.strerror}; give the file of `pytest --parities FILE`") from exc
    except msgspec.MsgspecError as exc:
        raise RequestError(f"{path}: {exc}; give the file of `pytest --parities FILE`") from exc


def write_record(record: Record, path: Path) -> None:
    """Write one line for each entry, so that a new measurement is one changed line.

    Raises:
        OutputError: the file cannot be written.
    """
    parts = (("exports", record.exports), ("left_out", record.left_out), ("parities", record.parities))
    text = ",\n".join(f'"{name}": [\n{_lines(entries)}\n]' for name, entries in parts)
    with staged_file(path) as partial:
        partial.write_text(f"{{\n{text}\n}}\n", encoding="utf-8")


def _lines(entries: Sequence[object]) -> str:
    return ",\n".join(msgspec.json.encode(entry).decode() for entry in entries)


def passed(record: Record, model: str, target: str) -> bool:
    """Return whether a model passed the gate on a target, in whatever precision."""
    return any(one.passed and (one.model, one.target) == (model, target) for one in record.exports)
