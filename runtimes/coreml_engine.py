"""Core ML as an engine, on macOS. Unverified: no part of this project has run on Apple hardware yet.

What can be run elsewhere is: the sizes that a package allows, the splitting of a batch to fit them, and the
picture that the encoder is given.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..contract import Array, EngineOptions, EngineReport, GraphContract
from ..errors import BundleError, RequestError, UnsupportedError, one_line
from ..optional import import_coremltools
from .contract_checks import check_feeds, check_options
from .soundness import require_sound_package

COMPUTE_UNITS = ("ALL", "CPU_ONLY", "CPU_AND_GPU", "CPU_AND_NE")


class CoreMlSession:
    """Runs the `.mlpackage` at `path`; satisfies `contract.Session`.

    `options.provider`: which compute units Core ML may use, one of `COMPUTE_UNITS`; None is ALL. A batch of
    more prompts than the package allows is run in parts. Core ML rounds the picture to 8 bits a colour, which
    moves a padding colour that is no integer by at most half a level.

    Raises on opening:
        UnsupportedError: not macOS.
        RequestError: an unknown compute unit, a thread count, or another precision than the package's.
        MissingDependencyError: coremltools is not installed.
        BundleError: there is no package, or Core ML cannot load it.
    """

    def __init__(self, path: Path, contract: GraphContract, options: EngineOptions | None = None) -> None:
        options = options or EngineOptions()
        _require_options(options)
        _require_macos(path)
        self._contract = contract
        self._model = _load(path, options.provider or "ALL")
        self._limits = size_limits(self._model.get_spec(), contract)
        self._report = _report(self._model)
        _require_precision(self._report, options)

    @property
    def report(self) -> EngineReport:
        return self._report

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return float32 arrays by output name.

        Raises:
            ContractError: feeds that are not the contract's.
            RequestError: more points a prompt than the package allows.
        """
        checked = check_feeds(self._contract, feeds)
        parts = [self._predict(part) for part in split_batch(checked, self._contract, self._limits)]
        return {name: np.concatenate([part[name] for part in parts]) for name in self._contract.output_names}

    def _predict(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        native = {name: to_picture(array) if name == "image" else array for name, array in feeds.items()}
        outputs = self._model.predict(native)
        return {name: np.asarray(outputs[name], dtype=np.float32) for name in self._contract.output_names}


@dataclass(frozen=True)
class SizeLimit:
    """Smallest and largest size of a dynamic axis; `largest` None is without bound."""

    smallest: int
    largest: int | None


def size_limits(spec: Any, contract: GraphContract) -> dict[str, SizeLimit]:
    """Return what the package's specification (a protobuf) allows for each dynamic axis of the contract."""
    features = {feature.name: feature.type.multiArrayType for feature in spec.description.input}
    limits: dict[str, SizeLimit] = {}
    for tensor in contract.inputs:
        array = features[tensor.name]
        for position, axis in enumerate(tensor.shape):
            if isinstance(axis, str):
                limits.setdefault(axis, _limit(array, position))
    return limits


def _limit(array: Any, position: int) -> SizeLimit:
    ranges = array.shapeRange.sizeRanges
    if not ranges:
        return SizeLimit(array.shape[position], array.shape[position])
    largest = ranges[position].upperBound
    return SizeLimit(ranges[position].lowerBound, None if largest < 0 else largest)


def split_batch(
    feeds: Mapping[str, Array], contract: GraphContract, limits: Mapping[str, SizeLimit]
) -> Iterator[dict[str, Array]]:
    """Yield feeds whose sizes the package allows, in order; inputs without a B axis go to every part.

    Raises:
        RequestError: an axis other than B is too long, or an axis is too short.
    """
    sizes = {
        axis: size
        for tensor in contract.inputs
        for axis, size in zip(tensor.shape, feeds[tensor.name].shape, strict=True)
        if isinstance(axis, str)
    }
    for axis, size in sizes.items():
        _require_size(contract, axis, size, limits[axis])
    batch = sizes.get("B", 1)
    step = (limits["B"].largest if "B" in limits else None) or batch
    batched = {tensor.name for tensor in contract.inputs if tensor.shape[0] == "B"}
    for start in range(0, batch, step):
        yield {name: array[start : start + step] if name in batched else array for name, array in feeds.items()}


def _require_size(contract: GraphContract, axis: str, size: int, limit: SizeLimit) -> None:
    too_long = axis != "B" and limit.largest is not None and size > limit.largest
    if too_long or size < limit.smallest:
        raise RequestError(
            f"{contract.component}: {axis}={size}, the package allows {limit.smallest} to {limit.largest}; "
            "give a size between, or export with other sizes"
        )


def to_picture(image: Array) -> Image.Image:
    """Return the RGB picture of `image` [1, 3, H, W] float32 0..255, rounded to 8 bits a colour."""
    pixels = np.clip(np.rint(image[0].transpose(1, 2, 0)), 0, 255).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(pixels))


def _require_options(options: EngineOptions) -> None:
    check_options(options, "coreml")
    if options.provider is not None and options.provider not in COMPUTE_UNITS:
        raise RequestError(f"coreml: provider {options.provider!r}; choose one of {', '.join(COMPUTE_UNITS)}")
    if options.threads is not None:
        raise RequestError(f"coreml: threads={options.threads}; Core ML chooses its own, leave it out")


def _require_precision(report: EngineReport, options: EngineOptions) -> None:
    if options.compute_precision not in (None, report.compute_precision):
        raise RequestError(
            f"coreml: compute precision {options.compute_precision!r}, the package computes in "
            f"{report.compute_precision}; leave it out, or open the bundle of that precision"
        )


def _require_macos(path: Path) -> None:
    if sys.platform != "darwin":
        raise UnsupportedError(
            f"{path.name}: Core ML runs on macOS and iOS only, this is {platform.system()}; open an onnx or openvino "
            "bundle here, or check this one with `sam-export verify`"
        )


def _load(path: Path, units: str) -> Any:
    coremltools = import_coremltools(purpose="running Core ML", extra="runtime-coreml")
    if not path.is_dir():
        raise BundleError(f"{path}: no such package; export or copy the bundle again")
    require_sound_package(path)
    try:
        return coremltools.models.MLModel(str(path), compute_units=coremltools.ComputeUnit[units])
    except Exception as exc:  # coremltools raises RuntimeError, ValueError and what protobuf raises
        raise BundleError(f"{path}: Core ML cannot load it ({one_line(exc)}); export it again") from exc


def _report(model: Any) -> EngineReport:
    """Core ML does not tell which unit ran an op: `device` is what the loaded model may use."""
    coremltools = import_coremltools(purpose="running Core ML", extra="runtime-coreml")
    return EngineReport(
        engine="coreml",
        version=f"macOS {platform.mac_ver()[0]}, coremltools {coremltools.__version__}",
        device=str(model.compute_unit.name),
        compute_precision=model.user_defined_metadata.get("sam_export.precision", "as stored"),
        threads=None,
        options={"specification_version": str(model.get_spec().specificationVersion)},
    )
