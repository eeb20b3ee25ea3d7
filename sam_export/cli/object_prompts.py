"""The texts of --box and --point as prompts: what each asks for, in pixels of the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..contract import PointLabel
from ..errors import RequestError

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class ObjectPrompt:
    """What asks for one object, in pixels of the picture."""

    box: Box | None = None
    points: tuple[tuple[float, float], ...] = ()
    labels: tuple[int, ...] = ()

    @property
    def kinds(self) -> tuple[str, ...]:
        return ("box",) * (self.box is not None) + ("point",) * bool(self.points)

    @property
    def all_outside(self) -> bool:
        """Whether it says only where the object is not, which SAM answers with whatever it likes."""
        return self.box is None and PointLabel.FOREGROUND not in self.labels

    @property
    def text(self) -> str:
        box = [] if self.box is None else ["box " + ",".join(f"{value:g}" for value in self.box)]
        points = [f"point {x:g},{y:g},{label}" for (x, y), label in zip(self.points, self.labels, strict=True)]
        return " ".join(box + points)


def object_prompts(boxes: Sequence[str], points: Sequence[str]) -> tuple[ObjectPrompt, ...]:
    """Return one prompt an object from the command line's texts.

    Raises:
        RequestError: no prompt, a text that is not numbers, or points beside several boxes.
    """
    parsed = [_numbers("--point", text, (2, 3)) for text in points]
    coords = tuple((values[0], values[1]) for values in parsed)
    labels = tuple(_label(values) for values in parsed)
    corners = [_box(text) for text in boxes]
    if not corners and not coords:
        raise RequestError("segment: no prompt given; give --box x0,y0,x1,y1 or --point x,y[,label]")
    if len(corners) > 1 and coords:
        raise RequestError(
            f"segment: --point beside {len(corners)} boxes could mean any of them; segment that object apart"
        )
    if not corners:
        return (ObjectPrompt(None, coords, labels),)
    return tuple(ObjectPrompt(box, coords, labels) for box in corners)


def _box(text: str) -> Box:
    x0, y0, x1, y1 = _numbers("--box", text, (4,))
    return x0, y0, x1, y1


def _label(values: Sequence[float]) -> int:
    label = values[2] if len(values) == 3 else float(PointLabel.FOREGROUND)
    if label not in (PointLabel.BACKGROUND, PointLabel.FOREGROUND):
        raise RequestError(f"--point: label {label:g}; allowed: 1 inside the object, 0 outside")
    return int(label)


def _numbers(option: str, text: str, counts: tuple[int, ...]) -> list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) not in counts:
        allowed = " or ".join(map(str, counts))
        raise RequestError(
            f"{option} {text!r}: give {allowed} numbers with commas and no spaces, in pixels of the picture"
        )
    return values
