"""What a target is: the one thing that the pipeline knows of all formats alike."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..contract import Graph

if TYPE_CHECKING:
    from ..models.components import Component


@dataclass(frozen=True)
class ExportOptions:
    """Choices that only some targets have. `minimum_ios`: the oldest iOS that a Core ML graph must run on."""

    minimum_ios: int = 16


class Target(Protocol):
    """A format. Importing one needs no converter; `export` imports what it needs.

    `requires` are those packages and the engine that the gate runs the graph on, `extra` is the pip extra that installs
    them. `one_bundle`: the precisions of one request are variants of one bundle. `default_precisions` are those of a
    request that names none. `devices` are those that graphs of a precision are for. `check_options` raises for an
    option that the target cannot do. `export` writes `<component>.*` into the existing folder `out_dir`.
    """

    @property
    def name(self) -> str: ...

    @property
    def extra(self) -> str: ...

    @property
    def requires(self) -> tuple[str, ...]: ...

    @property
    def one_bundle(self) -> bool: ...

    @property
    def precisions(self) -> tuple[str, ...]: ...

    @property
    def default_precisions(self) -> tuple[str, ...]: ...

    def devices(self, precision: str) -> tuple[str, ...]: ...

    def check_options(self, options: ExportOptions) -> None: ...

    def export(self, component: Component, precision: str, out_dir: Path, options: ExportOptions) -> Graph: ...
