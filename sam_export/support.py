"""Family x target x precision: what can be exported, and how each was verified; README shows it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import OutputError, RequestError
from .exporters import TARGETS
from .full_size import Record, passed, read_record
from .models import VARIANTS, Variant
from .models.catalog import same_graphs
from .models.variants import NOT_VERIFIED
from .quantize.found import found_names
from .quantize.recipes import OF_TARGET

BEGIN, END = "<!-- models: begin -->", "<!-- models: end -->"
NONE = "–"
MEASURED, NOT_MEASURED = "measured", "gated, not measured yet"
HEAD = ("models", "for", "floats", "full size gated on", "fewer bits", "licence", "modules compared with")


@dataclass(frozen=True)
class Support:
    """What holds of some models of a family alike.

    `floats`: precisions that are stored as they are; `fewer_bits`: those that are made by rounding; both by target.
    `full_size`: by target, the models that passed the gate at their full size, on random weights; models that differ in
    their weights alone are one there. `measured`: targets and precisions whose masks on trained weights are known,
    each as `onnx-int8`. `verified_against`: what the tests compare the family's modules with.
    """

    family: str
    models: tuple[str, ...]
    floats: dict[str, tuple[str, ...]]
    full_size: dict[str, tuple[str, ...]]
    fewer_bits: dict[str, tuple[str, ...]]
    measured: tuple[str, ...]
    verified_against: str
    license: str
    prompts: tuple[str, ...]
    description: str


def support_table(variants: Iterable[Variant] | None = None) -> tuple[Support, ...]:
    """Return a row for the models of a family that differ in nothing but their size, in the catalogue's order."""
    record, groups = read_record(), dict[tuple[object, ...], list[Variant]]()
    for row in VARIANTS.values() if variants is None else variants:
        alike = (row.family, row.description, row.full_license, row.verified_against, _measured((row,)))
        groups.setdefault(alike, []).append(row)
    return tuple(_support(rows, record) for rows in groups.values())


def _support(rows: Sequence[Variant], record: Record) -> Support:
    first, names = rows[0], [row.name for row in rows]
    return Support(
        family=first.family,
        models=tuple(names),
        floats={name: target.precisions for name, target in TARGETS.items()},
        full_size={
            target: tuple(name for name in names if passed(record, same_graphs(name), target)) for target in TARGETS
        },
        fewer_bits={name: OF_TARGET.get(name, ()) for name in TARGETS},
        measured=_measured(rows),
        verified_against=first.verified_against or NOT_VERIFIED,
        license=first.full_license,
        prompts=first.mask_rule.prompts,
        description=first.description,
    )


def _measured(rows: Sequence[Variant]) -> tuple[str, ...]:
    return tuple(
        sorted(
            name.removeprefix(f"{row.name}-")
            for row in rows
            for name in found_names()
            if name.startswith(f"{row.name}-")
        )
    )


def render_support(rows: Sequence[Support]) -> str:
    """Return the table as Markdown."""
    lines = [HEAD, ("---",) * len(HEAD), *map(_cells, rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cells(row: Support) -> tuple[str, ...]:
    return (
        ", ".join(f"`{name}`" for name in row.models),
        row.description,
        _floats(row),
        _full_size(row),
        MEASURED if row.measured else NOT_MEASURED,
        row.license,
        row.verified_against,
    )


def _floats(row: Support) -> str:
    """Return what every target can do, then what single ones can besides."""
    everywhere = [name for name in next(iter(row.floats.values())) if all(name in some for some in row.floats.values())]
    alone = [f"{name} on {target}" for target, some in row.floats.items() for name in some if name not in everywhere]
    return ", ".join((f"{', '.join(everywhere)} on each target", *alone))


def _full_size(row: Support) -> str:
    """Return the targets that all of the models passed on, and how many of them did on the others."""
    counts = {target: f"{len(models)} of {len(row.models)}" for target, models in row.full_size.items() if models}
    everyone = f"{len(row.models)} of {len(row.models)}"
    return ", ".join(target if count == everyone else f"{target} ({count})" for target, count in counts.items()) or NONE


def rewritten(text: str, rows: Sequence[Support], subject: str) -> str:
    """Return a document with the table between its two marks.

    Raises:
        RequestError: it does not have them.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise RequestError(f"{subject}: has no lines {BEGIN} and {END}; put them where the table shall stand")
    return f"{before}{BEGIN}\n{render_support(rows)}{END}{after}"


def write_into(path: Path) -> None:
    """Bring the table of a document up to date.

    Raises:
        RequestError: it has no marks, or is no text.
        OutputError: it cannot be read or written.
    """
    try:
        text = path.read_text(encoding="utf-8")
        path.write_text(rewritten(text, support_table(), str(path)), encoding="utf-8")
    except UnicodeDecodeError as exc:
        raise RequestError(f"{path}: is no text; give a Markdown document") from exc
    except OSError as exc:
        raise OutputError(f"{path}: {exc.strerror or exc}; give a document that can be written") from exc
