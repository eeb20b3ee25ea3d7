"""The vocabulary shared by every folder: tensors, graphs, preprocessing, mask rule, sessions.

Plain frozen data and one protocol. Owns no behaviour but its own checks, and needs numpy alone. Names are Meta's own
(github.com/facebookresearch/segment-anything), because they are data that four languages read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from .errors import RequestError

Array = NDArray[Any]
FloatArray = NDArray[np.float32]
ImageArray = NDArray[np.uint8]

ComponentName = Literal["image_encoder", "mask_decoder"]
# More than any machine has; engines hang on thousands.
MAX_THREADS = 1024
COMPONENT_NAMES: tuple[ComponentName, ...] = ("image_encoder", "mask_decoder")


class PointLabel(IntEnum):
    """What a point means to the mask decoder. A box is two points: top-left, then bottom-right."""

    PADDING = -1
    BACKGROUND = 0
    FOREGROUND = 1
    BOX_TOP_LEFT = 2
    BOX_BOTTOM_RIGHT = 3


@dataclass(frozen=True)
class TensorSpec:
    """One input or output. A `shape` entry is a size, or the name of a dynamic axis ("B", "N")."""

    name: str
    shape: tuple[int | str, ...]
    dtype: str
    meaning: str


@dataclass(frozen=True)
class GraphContract:
    """What a graph takes and gives, in order, the same on every target."""

    component: ComponentName
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @property
    def input_names(self) -> tuple[str, ...]:
        return tuple(spec.name for spec in self.inputs)

    @property
    def output_names(self) -> tuple[str, ...]:
        return tuple(spec.name for spec in self.outputs)


@dataclass(frozen=True)
class Normalisation:
    """How the image encoder graph normalises. A runtime never does it; it only pads to suit.

    `mean_std`: (image - mean) / std per channel, constants in units of 0..255.
    `min_max`: (image - min) / max(max - min, 1e-8) over the whole picture, all channels together.
    """

    kind: Literal["mean_std", "min_max"]
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes the encoder's `image`, and in which frame prompts are given.

    `fit`: `letterbox` scales the longest side to the frame and pads right and bottom; `stretch` scales
    each side on its own. A letterboxed side is `floor(side * scale + 0.5)`, at least 1. `filter`: the resampling that
    every runtime repeats, on uint8: `pillow_bilinear` is Pillow's antialiased triangle filter, over columns first,
    then over rows, rounded to uint8 after each. `padding`: the value that normalises to zero: `mean` (the mean
    colour) or `minimum` (the smallest value of the resized picture, in all channels).
    """

    image_hw: tuple[int, int]
    prompt_frame_hw: tuple[int, int]
    fit: Literal["letterbox", "stretch"]
    filter: Literal["pillow_bilinear"]
    padding: Literal["mean", "minimum"]
    normalisation: Normalisation


@dataclass(frozen=True)
class StabilityFallback:
    """When another mask answers in the single one's place: of the low-res logits above -`delta`, those that are above
    `delta` are a smaller part than `threshold`. Then it is the multimask token with the highest predicted IoU.

    Source: `MaskDecoder._dynamic_multimask_via_stability` (facebookresearch/sam2, `modeling/sam/mask_decoder.py`).
    """

    delta: float
    threshold: float


@dataclass(frozen=True)
class MaskRule:
    """Which masks answer a prompt, and how low-res logits become masks in the caller's picture.

    Logits [mask_hw] are upsampled (bilinear, half-pixel centres) to `prompt_frame_hw`, cropped to the part
    that the picture covers (letterbox), upsampled to the picture's own size, and are foreground above
    `threshold`. `padding_point`: when the runtime appends a point labelled PADDING.
    `prompts`: the kinds that the weights were trained to answer; others are accepted but not gated.
    `stability_fallback`: None where the single mask's token always answers. `low_res_limit`: low-res logits that a
    caller gets, to feed back, are clipped to ± this; None where they are not. `upsampling`: `direct` leaves the prompt
    frame out, and goes with a picture that is stretched.
    `takes_mask`: whether the decoder has `mask_input` at all. `point_slots`: a decoder that always gets this many
    points, box corners included; shorter prompts are filled up with padding points, whatever `padding_point` says.
    """

    mask_hw: tuple[int, int]
    single_mask_token: int
    multimask_tokens: tuple[int, ...]
    padding_point: Literal["without_box", "always"]
    threshold: float
    prompts: tuple[Literal["box", "point", "mask"], ...]
    stability_fallback: StabilityFallback | None = None
    low_res_limit: float | None = None
    upsampling: Literal["via_frame", "direct"] = "via_frame"
    takes_mask: bool = True
    point_slots: int | None = None


@dataclass(frozen=True)
class LayerChoice:
    """What one layer, or all that the pattern names, became, and why."""

    pattern: str
    precision: str
    reason: str


@dataclass(frozen=True)
class Recipe:
    """What a precision was resolved to for one graph: storage, compute, and every exception."""

    precision: str
    storage: str
    compute: str
    layers: tuple[LayerChoice, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Graph:
    """One component on disk. `path` is the file that an engine opens (a folder for `.mlpackage`);
    `files` are all of its files, `path` included, relative to `path.parent`."""

    contract: GraphContract
    target: str
    recipe: Recipe
    path: Path
    files: tuple[str, ...]

    @property
    def label(self) -> str:
        return f"{self.contract.component} {self.target} {self.recipe.precision}"


@dataclass(frozen=True)
class EngineReport:
    """What a session says of itself after it was made: read back, never what was asked for."""

    engine: str
    version: str
    device: str
    compute_precision: str
    threads: int | None
    options: Mapping[str, str]


class Session(Protocol):
    """A graph that can be run. Feeds and results are keyed by the contract's names."""

    @property
    def report(self) -> EngineReport: ...

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]: ...


@dataclass(frozen=True)
class EngineOptions:
    """What a caller may ask of an engine. None leaves the engine's own default.

    Raises:
        RequestError: `threads` is not a whole number from 1 to `MAX_THREADS`.
    """

    threads: int | None = None
    provider: str | None = None
    compute_precision: str | None = None

    def __post_init__(self) -> None:
        if self.threads is not None and (type(self.threads) is not int or not 1 <= self.threads <= MAX_THREADS):
            raise RequestError(f"threads {self.threads!r}: give a whole number from 1 to {MAX_THREADS}, or none")
