"""Inputs: allowed shapes, and what Core ML would hold of a picture."""

from __future__ import annotations

import coremltools as ct
import numpy as np
import pytest
import torch

from sam_export.errors import ContractError, UnsupportedError
from sam_export.verify.mil.ports import Port, read_port

FIXED = Port("x", "fp32", None, (((1, 1), (4, 4)),))
RANGE = Port("x", "fp32", None, (((1, 8), (2, None)),))
EITHER = Port("x", "int32", None, (((1, 1), (4, 4)), ((2, 2), (6, 6))))
PICTURE = Port("image", "fp16", "rgb", (((1, 1), (3, 3), (2, 2), (2, 2)),))


@pytest.mark.parametrize(
    ("port", "shape", "admitted"),
    [
        (FIXED, (1, 4), True),
        (FIXED, (1, 5), False),
        (FIXED, (1, 4, 1), False),
        (RANGE, (8, 1000), True),
        (RANGE, (9, 4), False),
        (RANGE, (8, 1), False),
        (RANGE, ("B", 4), True),
        (EITHER, (2, 6), True),
        (EITHER, (2, 4), False),
    ],
)
def test_allowed_shapes(port: Port, shape: tuple[int | str, ...], admitted: bool) -> None:
    assert port.admits(shape) is admitted


def test_a_refused_shape_lists_the_allowed_ones() -> None:
    with pytest.raises(ContractError, match=r"shape \[9, 4\], the package allows \[1\.\.8, 2\.\.inf\]"):
        RANGE.tensor(np.zeros((9, 4), np.float32))


def test_numbers_of_any_kind_become_the_declared_kind() -> None:
    assert FIXED.tensor(np.ones((1, 4), np.float64)).dtype == torch.float32
    assert EITHER.tensor(np.ones((1, 4), np.int64)).dtype == torch.int32


def test_text_is_refused() -> None:
    with pytest.raises(ContractError, match="numbers are needed"):
        FIXED.tensor(np.full((1, 4), "a"))


def test_a_picture_is_held_in_eight_bits() -> None:
    feed = np.linspace(0, 255, 12, dtype=np.float32).reshape(1, 3, 2, 2)
    assert torch.equal(PICTURE.tensor(feed), torch.from_numpy(np.rint(feed)))


def test_a_bgr_picture_is_fed_as_rgb() -> None:
    port = Port("image", "fp32", "bgr", PICTURE.shapes)
    feed = np.arange(12, dtype=np.float32).reshape(1, 3, 2, 2)
    assert torch.equal(port.tensor(feed), torch.from_numpy(feed[:, ::-1].copy()))


@pytest.mark.parametrize("value", [-1.0, 255.6, float("nan"), float("inf")])
def test_a_picture_outside_of_eight_bits_is_refused(value: float) -> None:
    feed = np.full((1, 3, 2, 2), 7, np.float32)
    feed[0, 0, 0, 0] = value
    with pytest.raises(ContractError, match=r"0\.\.255 are allowed"):
        PICTURE.tensor(feed)


def description(array: bool = True) -> ct.proto.Model_pb2.FeatureDescription:
    made = ct.proto.Model_pb2.FeatureDescription(name="x")
    if array:
        made.type.multiArrayType.shape.extend([1, 4])
    else:
        made.type.imageType.height, made.type.imageType.width = 2, 6
        made.type.imageType.colorSpace = made.type.imageType.RGB
    return made


def test_reads_a_fixed_array() -> None:
    assert read_port(description(), "fp32") == FIXED


def test_reads_a_range() -> None:
    made = description()
    for low, high in ((1, 8), (2, -1)):
        made.type.multiArrayType.shapeRange.sizeRanges.add(lowerBound=low, upperBound=high)
    assert read_port(made, "fp32") == RANGE


def test_reads_enumerated_shapes() -> None:
    made = description()
    for shape in ((1, 4), (2, 6)):
        made.type.multiArrayType.enumeratedShapes.shapes.add().shape.extend(shape)
    assert read_port(made, "int32") == EITHER


def test_reads_a_picture() -> None:
    port = read_port(description(array=False), "fp16")
    assert port == Port("x", "fp16", "rgb", (((1, 1), (3, 3), (2, 2), (6, 6)),))


def test_reads_pictures_of_several_sizes() -> None:
    made = description(array=False)
    made.type.imageType.enumeratedSizes.sizes.add(height=4, width=8)
    assert read_port(made, "fp32").shapes == (((1, 1), (3, 3), (4, 4), (8, 8)),)


def test_reads_pictures_of_a_range_of_sizes() -> None:
    made = description(array=False)
    sizes = made.type.imageType.imageSizeRange
    sizes.heightRange.lowerBound, sizes.heightRange.upperBound = 4, 8
    sizes.widthRange.lowerBound, sizes.widthRange.upperBound = 5, -1
    assert read_port(made, "fp32").shapes == (((1, 1), (3, 3), (4, 8), (5, None)),)


def test_a_grey_picture_is_unsupported() -> None:
    made = description(array=False)
    made.type.imageType.colorSpace = made.type.imageType.GRAYSCALE
    with pytest.raises(UnsupportedError, match="allowed: RGB, BGR"):
        read_port(made, "fp32")


def test_other_inputs_are_unsupported() -> None:
    made = ct.proto.Model_pb2.FeatureDescription(name="x")
    made.type.stringType.SetInParent()
    with pytest.raises(UnsupportedError, match="stringType"):
        read_port(made, "fp32")
    with pytest.raises(UnsupportedError, match="'x' is bool"):
        read_port(description(), "bool")
