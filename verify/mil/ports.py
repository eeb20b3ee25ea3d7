"""What a package's description promises to a caller: the name, type and allowed shapes of each input.

Core ML refuses a feed outside of them, so the evaluator does too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ...contract import Array
from ...errors import ContractError, UnsupportedError

Bounds = tuple[int, int | None]
"""Smallest and largest side of one axis; None is without end."""

FEED_TYPES = {"fp16": torch.float32, "fp32": torch.float32, "int32": torch.int32}


@dataclass(frozen=True, slots=True)
class Port:
    """One input of a package.

    `dtype`: as the program declares it. `image`: the order of the colours that the program expects where the
    input is a picture [1, 3, H, W]; callers give RGB. `shapes`: the allowed ones, each as bounds per axis.
    """

    name: str
    dtype: str
    image: Literal["rgb", "bgr"] | None
    shapes: tuple[tuple[Bounds, ...], ...]

    def admits(self, shape: Sequence[int | str]) -> bool:
        """True if some allowed shape has this rank and these sides; a named side admits anything."""
        return any(
            len(bounds) == len(shape) and all(_within(side, bound) for side, bound in zip(shape, bounds, strict=True))
            for bounds in self.shapes
        )

    def allowed(self) -> str:
        """Return the allowed shapes for a message: `[1..inf, 2]`."""
        return " or ".join("[" + ", ".join(_text(bound) for bound in bounds) + "]" for bounds in self.shapes)

    def tensor(self, feed: Array) -> Tensor:
        """Return what Core ML would hold of `feed`, before rounding to fp16: a picture is 8 bits a colour.

        Raises ContractError for a shape, type or value that Core ML would refuse.
        """
        if feed.dtype.kind not in "biuf":
            raise ContractError(f"input {self.name!r} is {feed.dtype}, numbers are needed; pass a float32 array")
        if not self.admits(feed.shape):
            raise ContractError(
                f"input {self.name!r} has shape {list(feed.shape)}, the package allows {self.allowed()}; "
                "feed that or export with other shapes"
            )
        if self.image is None:
            return torch.from_numpy(np.array(feed, order="C")).to(FEED_TYPES[self.dtype])
        return self._picture(feed)

    def _picture(self, feed: Array) -> Tensor:
        held = np.rint(feed.astype(np.float32))
        if not (held.min() >= 0 and held.max() <= 255):  # also false for NaN
            raise ContractError(
                f"input {self.name!r} is a picture with values {held.min():g}..{held.max():g}, 0..255 are allowed; "
                "pass RGB that is not normalised"
            )
        return torch.from_numpy(np.ascontiguousarray(held if self.image == "rgb" else held[:, ::-1]))


def _within(side: int | str, bound: Bounds) -> bool:
    low, high = bound
    return isinstance(side, str) or (low <= side and (high is None or side <= high))


def _text(bound: Bounds) -> str:
    low, high = bound
    return str(low) if low == high else f"{low}..{'inf' if high is None else high}"


def read_port(description: Any, dtype: str) -> Port:
    """Return the port of one FeatureDescription (Model.proto, FeatureTypes.proto).

    Raises UnsupportedError for an input that is neither a MultiArray nor a colour picture. There is no scale or
    bias to read: an ML Program holds the preprocessing of an ImageType as operations of its own.
    """
    kind = description.type.WhichOneof("Type")
    if dtype not in FEED_TYPES:
        raise UnsupportedError(f"input {description.name!r} is {dtype}; allowed: {', '.join(FEED_TYPES)}")
    if kind == "multiArrayType":
        return Port(description.name, dtype, None, _array_shapes(description.type.multiArrayType))
    if kind == "imageType":
        image = description.type.imageType
        return Port(description.name, dtype, _colours(description.name, image), _image_shapes(image))
    raise UnsupportedError(f"input {description.name!r} is {kind}; allowed: multiArrayType, imageType")


def _colours(name: str, image: Any) -> Literal["rgb", "bgr"]:
    spaces: dict[int, Literal["rgb", "bgr"]] = {image.RGB: "rgb", image.BGR: "bgr"}
    if image.colorSpace not in spaces:
        raise UnsupportedError(f"input {name!r} is a grey picture; allowed: RGB, BGR")
    return spaces[image.colorSpace]


def _array_shapes(array: Any) -> tuple[tuple[Bounds, ...], ...]:
    flexibility = array.WhichOneof("ShapeFlexibility")
    if flexibility == "enumeratedShapes":
        return tuple(_fixed(shape.shape) for shape in array.enumeratedShapes.shapes)
    if flexibility == "shapeRange":
        return (tuple(_bounds(axis) for axis in array.shapeRange.sizeRanges),)
    return (_fixed(array.shape),)


def _image_shapes(image: Any) -> tuple[tuple[Bounds, ...], ...]:
    colours = _fixed((1, 3))
    flexibility = image.WhichOneof("SizeFlexibility")
    if flexibility == "enumeratedSizes":
        return tuple(colours + _fixed((size.height, size.width)) for size in image.enumeratedSizes.sizes)
    if flexibility == "imageSizeRange":
        sizes = image.imageSizeRange
        return ((*colours, _bounds(sizes.heightRange), _bounds(sizes.widthRange)),)
    return (colours + _fixed((image.height, image.width)),)


def _fixed(shape: Iterable[int]) -> tuple[Bounds, ...]:
    return tuple((int(side), int(side)) for side in shape)


def _bounds(size_range: Any) -> Bounds:
    """Return the bounds of a SizeRange, whose upper bound is -1 where there is none."""
    return int(size_range.lowerBound), None if size_range.upperBound < 0 else int(size_range.upperBound)
