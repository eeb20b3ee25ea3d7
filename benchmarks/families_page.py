"""docs/families.md: a pure function of the record of full-size exports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..full_size import FullSizeExport, Record
from ..models import VARIANTS
from ..models.catalog import same_graphs
from ..models.variants import NOT_VERIFIED
from .grid import NONE

TARGETS = ("onnx", "openvino", "coreml")
NOT_YET = "nobody has run it yet"
EXPORTS_HEAD = (
    ("model", False),
    ("target", False),
    ("precision", False),
    ("gate", False),
    ("pictures", True),
    ("logit SNR, dB", True),
    ("encoder SNR, dB", True),
    ("mask IoU, mean", True),
    ("MB", True),
    ("export, s", True),
    ("peak, GB", True),
    ("whole run, s", True),
    ("conditions", True),
)
PARITY_HEAD = (("model", False), ("embeddings", True), ("masks", True), ("scores", True), ("compared with", False))
INTRODUCTION = """# Every family on every target

Full size, random weights. Other programs used the cores at the same time: seconds are for scale. One process for each \
model and target makes all its precisions; its peak holds the PyTorch model, the converter and the gate. SNRs are the \
least over all prompts and pictures; masks of random weights lie at their threshold everywhere, so that their IoU is a \
stress, and the gate holds the logits to 80 dB (fp32) and 35 dB (fp16). Made by `make families` from \
`sam_export/full_size.json`, which goes on where it ended; a model's trained weights pass the same gate at each export.
"""
UNTRAINED = """`repvit_sam` does not pass untrained, and cannot: its encoder in PyTorch, in fp32, is 79 dB from itself \
in fp64 on a picture of the gate, since small differences grow from block to block. At 256 pixels \
its graphs' modules are compared with upstream's form in fp64 (tests/models/test_image_size.py).
"""
PARITIES = """## Compared with independent implementations

Largest relative errors of this project's PyTorch modules at full width, depth and input size, weights made in the \
other implementation and carried over: one picture, and one box on its embeddings. The tests hold each to 1e-4, and at \
reduced sizes every kind of prompt besides. `pytest --parities FILE tests/models/test_full_size.py` measured them.
"""
LEFT_OUT = """## Not run
"""


def render(record: Record) -> str:
    """Return the page as Markdown."""
    return (
        "\n".join(
            (
                INTRODUCTION,
                *_exports(record),
                "",
                UNTRAINED,
                PARITIES,
                *_parities(record),
                "",
                LEFT_OUT,
                *_left_out(record),
            )
        )
        + "\n"
    )


def _table(head: Sequence[tuple[str, bool]], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table; a column of numbers is aligned to the right."""
    yield f"| {' | '.join(name for name, _ in head)} |"
    yield f"| {' | '.join('---:' if number else '---' for _, number in head)} |"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


def _exports(record: Record) -> Iterator[str]:
    conditions = list(dict.fromkeys(map(_conditions, record.exports)))
    rows = [(*_cells(one), str(1 + conditions.index(_conditions(one)))) for one in record.exports]
    yield from _table(EXPORTS_HEAD, rows)
    yield ""
    yield "Conditions:"
    yield ""
    yield from (f"{number}. {text}" for number, text in enumerate(conditions, start=1))


def _conditions(one: FullSizeExport) -> str:
    tools = ", ".join(f"{name} {version}" for name, version in one.tools.items())
    return f"{one.date}, {one.threads} thread(s) of {one.cores} cores ({one.processor}); {tools}"


def _cells(one: FullSizeExport) -> tuple[str, ...]:
    return (
        one.model,
        one.target,
        one.precision,
        f"passed, {_engine(one)}" if one.passed else f"**not passed**: {_first_reason(one)}",
        str(one.pictures) if one.pictures else NONE,
        _number(one.logit_snr_db, ".1f"),
        _number(one.encoder_snr_db, ".1f"),
        _number(one.mask_iou, ".4f"),
        f"{one.bytes / 1e6:.1f}" if one.bytes else NONE,
        f"{one.export_seconds:.0f}" if one.bytes else NONE,
        f"{one.peak_bytes / 1e9:.1f}",
        _number(one.run_seconds, ".0f"),
    )


def _first_reason(one: FullSizeExport) -> str:
    """Return what was found, without where in the graph; the record has it all."""
    return str(one.error).partition("; ")[0]


def _engine(one: FullSizeExport) -> str:
    """Return what ran the graph: `onnxruntime (1.31.1, CPUExecutionProvider)` without its version, which a row has."""
    return str(one.evaluated_by).partition(" (")[0]


def _number(value: float | None, form: str) -> str:
    return NONE if value is None else format(value, form)


def _parities(record: Record) -> Iterator[str]:
    known = {one.model: one for one in record.parities}
    rows = []
    for name, row in VARIANTS.items():
        found = known.get(same_graphs(name))
        errors = (
            [NONE] * 3 if found is None else [f"{value:.0e}" for value in (found.embeddings, found.masks, found.scores)]
        )
        reduced = f"{row.verified_against or NOT_VERIFIED} (at full size not measured)"
        rows.append((name, *errors, reduced if found is None else found.reference))
    yield from _table(PARITY_HEAD, rows)


def _left_out(record: Record) -> Iterator[str]:
    known = {(one.model, one.target) for one in record.exports}
    reasons = {(one.model, one.target): one.reason for one in record.left_out}
    rows: dict[tuple[str, str], list[str]] = {}
    for name in VARIANTS:
        twin = same_graphs(name)
        for target in TARGETS:
            if twin != name:
                rows.setdefault(
                    (name, f"as `{twin}`: the same graphs, since random weights are all that differs"), []
                ).append(target)
            elif (name, target) not in known:
                rows.setdefault((name, reasons.get((name, target), NOT_YET)), []).append(target)
    yield from _table(
        (("model", False), ("targets", False), ("why", False)),
        [(name, ", ".join(targets), reason) for (name, reason), targets in rows.items()],
    )
