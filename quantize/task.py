"""What a user asks of the quantizer, and one job of it with what jobs share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ..contract import ComponentName
from ..exporters import ExportOptions
from ..models import Component, SamModel
from ..precision import of_components
from ..search_record import Preferred
from ..verify.pictures import Picture, picture_set
from .calibration import Calibration
from .gradients import Gradients, mask_gradients
from .plan import QuantizationPlan
from .quantizer import Quantizer
from .recipes import QUANTIZED_PRECISIONS

Progress = Callable[[str, int, int], None]

# They rank layers, whose harms differ by orders of magnitude.
GRADIENT_PICTURES = 4


@dataclass(eq=False)
class Seen:
    """What was observed on calibration pictures, by component and pictures: it takes minutes, and all jobs of a request
    share it."""

    quantizers: dict[tuple[Component, tuple[str, ...]], Quantizer] = field(default_factory=dict)
    gradients: dict[tuple[Component, tuple[str, ...]], Mapping[ComponentName, Gradients]] = field(default_factory=dict)


@dataclass(frozen=True)
class QuantizeRequest:
    """`calibration` empty: the built-in set. `recipe`: a plan to follow instead of finding one. `search`: find one
    even if there is one already. `minutes`: how long a search may begin new tries. `state_folder`: where a search that
    is stopped leaves what it measured, to go on from there; None for nowhere. `min_iou`: what a search is to reach
    instead of the precision's own limits, as the gate will ask."""

    prefer: Preferred = "speed"
    recipe: QuantizationPlan | None = None
    search: bool = False
    minutes: float = 30.0
    calibration: tuple[Picture, ...] = ()
    state_folder: Path | None = None
    min_iou: float | None = None
    seen: Seen = field(default_factory=Seen, compare=False)


@dataclass(frozen=True, eq=False)
class Task:
    """One bundle to be quantized."""

    model: SamModel
    parts: tuple[Component, ...]
    target: str
    precision: str
    options: ExportOptions
    request: QuantizeRequest
    progress: Progress | None

    @property
    def precisions(self) -> Mapping[ComponentName, str]:
        return of_components(self.precision)

    def quantized_parts(self) -> tuple[Component, ...]:
        """Return the parts that are to be quantized; the others stay as they are."""
        return tuple(part for part in self.parts if self.precisions[part.contract.component] in QUANTIZED_PRECISIONS)

    @property
    def subject(self) -> str:
        return f"{self.model.variant.name} {self.target} {self.precision}"

    @property
    def pictures(self) -> tuple[Picture, ...]:
        return self.request.calibration or picture_set("calibration")

    def quantizer(self, part: Component) -> Quantizer:
        known, key = self.request.seen.quantizers, (part, hashes(self.pictures))
        if key not in known:
            self.show(f"{part.contract.component}: calibrate", 0, 1)
            gradients = partial(self.gradients, part.contract.component)
            known[key] = Quantizer(part, Calibration(self.model, self.pictures), gradients)
            self.show(f"{part.contract.component}: calibrate", 1, 1)
        return known[key]

    def gradients(self, component: ComponentName) -> Gradients:
        pictures = self.pictures[:GRADIENT_PICTURES]
        known, key = self.request.seen.gradients, (self.parts[0], hashes(pictures))
        if key not in known:
            self.show("gradients", 0, 1)
            known[key] = mask_gradients(self.model, self.parts, pictures)
            self.show("gradients", 1, 1)
        return known[key][component]

    def show(self, stage: str, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(stage, done, total)


def hashes(pictures: Sequence[Picture]) -> tuple[str, ...]:
    return tuple(picture.sha256 for picture in pictures)
