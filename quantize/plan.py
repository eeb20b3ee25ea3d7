"""What a quantizer is to do, as data: one line for each layer, written beside every bundle and read back by `--recipe`.

Pure data; needs neither torch nor an engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import msgspec

from ..contract import ComponentName
from ..errors import RequestError

Weights = Literal["float", "int8", "int4", "lut6", "lut4"]
Values = Literal["float", "uint8", "split", "dynamic"]
Ranges = Literal["minmax", "percentile", "mse", "mask"]
Rounding = Literal["nearest", "gptq"]
Compute = Literal["fp32", "bf16", "fp16"]

# What is rounded to a range from calibration.
CALIBRATED: frozenset[Values] = frozenset({"uint8", "split"})
SCHEMA_VERSION = 1
MAX_PLAN_BYTES = 4 * 2**20
WEIGHT_BITS: Mapping[Weights, int] = {"float": 32, "int8": 8, "int4": 4, "lut6": 6, "lut4": 4}


@dataclass(frozen=True)
class LayerPlan:
    """One layer, named by its dotted path below the component's module.

    `weights`: how they are stored. `inputs`: whether the layer's input is rounded to 8 bits first, so that integer
    kernels can run it: to a range from calibration (`uint8`), the same with what that lost rounded once more (`split`),
    or to the range of each call's values (`dynamic`). `outputs`: whether its output is too, which onnxruntime wants of
    convolutions. `reason`: why the layer is not like the rest.
    """

    layer: str
    weights: Weights = "float"
    inputs: Values = "float"
    outputs: Values = "float"
    reason: str = ""


@dataclass(frozen=True)
class ComponentPlan:
    """All layers of one component, and how their numbers are found.

    `compute`: what everything that is not rounded computes in. `ranges`: how the range of a rounded input is taken
    from calibration: all of it, without the outermost values, with the least squared error, or with the least that the
    masks' gradients mind. `rounding`: `gptq` rounds each weight so that the layer's output moves least on the
    calibration pictures. `smoothing`: the exponent of the migration from inputs to weights before rounding, 0 for
    none. `correct_biases`: whether what rounding adds to a layer's mean output is taken out of its bias. `float32`:
    modules that compute in fp32 whatever `compute` says, by dotted path.
    """

    compute: Compute = "fp32"
    ranges: Ranges = "minmax"
    rounding: Rounding = "nearest"
    smoothing: float = 0.0
    correct_biases: bool = False
    float32: tuple[str, ...] = ()
    layers: tuple[LayerPlan, ...] = ()

    def of(self, layer: str) -> LayerPlan:
        """Return the plan of a layer; one that is not named stays float."""
        return next((plan for plan in self.layers if plan.layer == layer), LayerPlan(layer))

    def with_float(self, layers: frozenset[str], reason: str) -> ComponentPlan:
        """Return the plan with these layers left in float, for this reason."""
        return replace(
            self,
            layers=tuple(
                LayerPlan(plan.layer, reason=reason) if plan.layer in layers else plan for plan in self.layers
            ),
        )


@dataclass(frozen=True)
class QuantizationPlan:
    """A whole recipe. `checkpoint_sha256`: the weights that it was found on; empty if it holds for any."""

    schema: int
    model: str
    checkpoint_sha256: str
    target: str
    precision: str
    components: dict[ComponentName, ComponentPlan]


def encode_plan(plan: QuantizationPlan) -> bytes:
    """Return the plan as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(plan), indent=1) + b"\n"


def read_plan(path: Path) -> QuantizationPlan:
    """Return the plan in a file.

    Raises:
        RequestError: the file cannot be read, is no recipe, or is one of another version.
    """
    try:
        if path.stat().st_size > MAX_PLAN_BYTES:
            raise RequestError(f"{path}: larger than {MAX_PLAN_BYTES} bytes; not a recipe of sam-export")
        return decode_plan(path.read_bytes(), str(path))
    except OSError as exc:
        reason = exc.strerror or str(exc)
        raise RequestError(f"{path}: the recipe cannot be read ({reason}); give a recipe.json of a bundle") from exc


def decode_plan(text: bytes, subject: str) -> QuantizationPlan:
    """Return the plan in a JSON text; `subject` names it in errors. Raises RequestError."""
    try:
        plan = msgspec.json.decode(text, type=QuantizationPlan)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise RequestError(f"{subject}: not a recipe of sam-export ({exc}); give a recipe.json of a bundle") from exc
    if plan.schema != SCHEMA_VERSION:
        raise RequestError(f"{subject}: schema {plan.schema}, this version reads {SCHEMA_VERSION}; search again")
    return plan
