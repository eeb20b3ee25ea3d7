"""Which models a checkpoint could be of, told by names and shapes alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from torch import Tensor

from .fitting import Layout, Rename, fit

# Below it, what fits is a mask decoder that most families share, and no sign of a model.
LEAST_SHARE = Fraction(1, 2)


@dataclass(frozen=True)
class Known:
    """A model that can be exported, its tensors, and how another layout's names become those of `layout`."""

    name: str
    layout: Layout
    to_upstream: Rename | None


@dataclass(frozen=True)
class Match:
    """How many of a model's `tensors` a file holds, in name and shape."""

    name: str
    matching: int
    tensors: int

    @property
    def share(self) -> Fraction:
        return Fraction(self.matching, self.tensors)

    @property
    def fitness(self) -> tuple[Fraction, int]:
        """SAM-HQ's file holds all of SAM's tensors and more: of models that it has whole, the larger is meant."""
        return self.share, self.matching


def matches_of(tensors: Mapping[str, Tensor], models: Iterable[Known]) -> list[Match]:
    """Return how well the file fits each model, the best first."""
    found = [Match(one.name, fit(tensors, one.layout, one.to_upstream).matching, len(one.layout)) for one in models]
    return sorted(found, key=lambda match: match.fitness, reverse=True)


def advice(asked: str, path: Path, found: list[Match]) -> str:
    """Return which other models the file looks like and what to type; empty where none fits better than the asked."""
    own = next((match.fitness for match in found if match.name == asked), (Fraction(0), 0))
    best = [match for match in found if match.fitness == found[0].fitness]
    if best[0].fitness <= own or best[0].share < LEAST_SHARE:
        return ""
    names = " or ".join(match.name for match in best)
    return (
        f"; it looks like {names} ({best[0].matching} of {best[0].tensors} tensors fit): "
        f"use `sam-export {best[0].name} --checkpoint {path}`"
    )
