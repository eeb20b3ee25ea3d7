"""Making a checkpoint's tensors fit a model's layout: prefixes of any training script, and files of one part alone.

Only names are changed, and each change is said in a note. What does not fit then is refused by `loading.check_layout`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from torch import Size, Tensor

from ..errors import CheckpointError

Layout = Mapping[str, Size]
Rename = Callable[[dict[str, Tensor]], dict[str, Tensor]]
# Deeper ones are parts of models, not what training scripts put around them.
DEEPEST_PREFIX = 3
SHOWN = 4


@dataclass(frozen=True)
class Fitted:
    """Tensors under the layout's names. `notes`: what was done to the file's names, as phrases for users."""

    tensors: dict[str, Tensor] = field(repr=False)
    notes: tuple[str, ...]
    matching: int


def fit(tensors: Mapping[str, Tensor], layout: Layout, to_upstream: Rename | None = None) -> Fitted:
    """Return the tensors with the prefix taken off, or put on, under which most of them fit the layout.

    Tensors outside the prefix are left out, and a note says which. The names are as they were if nothing fits better.

    Raises:
        CheckpointError: two prefixes hold a model each that fits equally well, a student and a teacher say.
    """
    rename = to_upstream or _unchanged
    parts = dict.fromkeys(name.partition(".")[0] for name in layout if "." in name)
    found = [_fitted(tensors, layout, rename, prefix, "") for prefix in ("", *_prefixes(tensors))]
    found += [_fitted(tensors, layout, _unchanged, "", f"{part}.") for part in parts]
    best = max(found, key=lambda one: one.matching)
    # Less than half of what it would take: a few names that are alike, and no model.
    if best.matching == found[0].matching or best.matching < len(best.tensors) / 2:
        return found[0]
    _require_one([one for one in found if one.matching == best.matching and not _same(one, best)], best)
    return best


def missing_parts(tensors: Mapping[str, Tensor], layout: Layout) -> tuple[str, ...]:
    """Return the parts, `mask_decoder` say, of which a file holds nothing, if it holds all of the others; else none."""
    wanted = Counter(name.partition(".")[0] for name in layout)
    there = Counter(name.partition(".")[0] for name in tensors if name in layout)
    absent = tuple(part for part in wanted if not there[part])
    whole = all(there[part] in (0, count) for part, count in wanted.items())
    return absent if there and whole else ()


def matches(tensors: Mapping[str, Tensor], layout: Layout) -> int:
    """Return how many of the layout's tensors are there, in name and shape."""
    return sum(name in tensors and tensors[name].shape == shape for name, shape in layout.items())


def _fitted(tensors: Mapping[str, Tensor], layout: Layout, rename: Rename, off: str, on: str) -> Fitted:
    inside = {on + name.removeprefix(off): tensor for name, tensor in tensors.items() if name.startswith(off)}
    renamed = rename(inside)
    notes = [f"prefix {off!r} taken off"] if off else []
    outside = [name for name in tensors if not name.startswith(off)]
    if outside:
        notes.append(f"{len(outside)} tensors outside {off!r} left out ({_first(outside)})")
    if on:
        notes.append(f"read as the {on.rstrip('.')} alone")
    return Fitted(renamed, tuple(notes), matches(renamed, layout))


def _prefixes(tensors: Iterable[str]) -> list[str]:
    """Return every beginning that several names share, up to its depth, the shortest first."""
    counts: Counter[str] = Counter()
    for name in tensors:
        words = name.split(".")
        counts.update(".".join(words[:depth]) + "." for depth in range(1, min(DEEPEST_PREFIX, len(words) - 1) + 1))
    return sorted((prefix for prefix, count in counts.items() if count > 1), key=len)


def _same(one: Fitted, other: Fitted) -> bool:
    return one is other or (one.tensors.keys() == other.tensors.keys() and one.notes == other.notes)


def _require_one(others: list[Fitted], best: Fitted) -> None:
    if not others:
        return
    ways = "; or ".join(", ".join(one.notes) for one in (best, *others))
    raise CheckpointError(
        f"the file holds {1 + len(others)} models that fit equally well ({ways}); save the tensors of one alone"
    )


def _unchanged(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return tensors


def _first(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
