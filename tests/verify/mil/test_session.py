"""MilSession on packages of a few operations: what it refuses, what it says of itself, hazards, W8A8."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import pytest
import torch
from coremltools.converters.mil import Builder as mb

from sam_export.contract import GraphContract, Session, TensorSpec
from sam_export.errors import ContractError
from sam_export.verify.mil import MilSession

from .cases import IOS17, normal
from .packages import save_package


def contract_of(shape: tuple[int | str, ...], output: tuple[int | str, ...], name: str = "y0") -> GraphContract:
    tensor = TensorSpec("x", shape, "float32", "any")
    return GraphContract("mask_decoder", (tensor,), (TensorSpec(name, output, "float32", "any"),))


def quantized(x: Any) -> Any:
    """W8A8: both sides of the product in 8 bits."""
    stored = np.arange(-8, 8, dtype=np.int8).reshape(4, 4)
    weight = mb.constexpr_affine_dequantize(quantized_data=stored, zero_point=np.int8(0), scale=np.float32(0.1), axis=0)
    steps = mb.quantize(input=x, scale=np.float32(0.05), zero_point=np.uint8(128), output_dtype="uint8")
    return mb.linear(x=mb.dequantize(input=steps, scale=np.float32(0.05), zero_point=np.uint8(128)), weight=weight)


def test_quantized_weights_and_activations(tmp_path: Path) -> None:
    x = normal(2, 4)
    path = save_package(tmp_path / "w8a8.mlpackage", quantized, {"x": x}, IOS17)
    result = MilSession(path, contract_of((2, 4), (2, 4))).run({"x": x})["y0"]
    steps = np.clip(np.rint(x / np.float32(0.05)) + 128, 0, 255) - 128
    weight = np.arange(-8, 8, dtype=np.float32).reshape(4, 4) * np.float32(0.1)
    np.testing.assert_allclose(result, steps * np.float32(0.05) @ weight.T, rtol=1e-5, atol=1e-6)
    assert np.abs(result - x @ weight.T).max() > 1e-3


def doubled(folder: Path) -> Path:
    return save_package(folder / "p.mlpackage", lambda x: mb.add(x=x, y=x), {"x": normal(2, 3)})


DOUBLED = contract_of((2, 3), (2, 3))


def test_it_is_a_session_that_says_what_it_is(tmp_path: Path) -> None:
    session: Session = MilSession(doubled(tmp_path), DOUBLED)
    report = session.report
    assert (report.engine, report.device) == ("mil-reference", "cpu")
    assert report.version.startswith(f"coremltools {ct.__version__}, torch {torch.__version__}")
    assert report.options["rounding"] == "fp16"
    assert report.threads == torch.get_num_threads()


@pytest.mark.parametrize(
    ("contract", "said"),
    [
        (contract_of((2, 3), (2, 3), name="masks"), r"outputs \['y0'\], the mask_decoder has \['masks'\]"),
        (dataclasses.replace(DOUBLED, inputs=()), r"inputs \['x'\], the mask_decoder has \[\]"),
        (contract_of((3, 2), (2, 3)), r"input 'x' allows \[2, 3\], the mask_decoder has \[3, 2\]"),
        (contract_of((2, 3, 1), (2, 3)), "allows"),
    ],
    ids=["output-name", "input-name", "swapped-axes", "rank"],
)
def test_another_contract_is_refused(contract: GraphContract, said: str, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=said):
        MilSession(doubled(tmp_path), contract)


def test_an_output_of_another_shape_is_refused(tmp_path: Path) -> None:
    session = MilSession(doubled(tmp_path), contract_of((2, 3), (3, 2)))
    with pytest.raises(ContractError, match=r"output 'y0' has shape \[2, 3\], the contract says \[3, 2\]"):
        session.run({"x": normal(2, 3)})


@pytest.mark.parametrize(
    ("feeds", "said"),
    [
        ({}, r"fed \[\], inputs are \['x'\]"),
        ({"x": normal(2, 3), "z": normal(1)}, r"fed \['x', 'z'\]"),
        ({"x": normal(3, 2)}, r"p\.mlpackage: input 'x' has shape \[3, 2\]"),
    ],
    ids=["missing", "unknown", "shape"],
)
def test_wrong_feeds_are_refused(feeds: dict[str, np.ndarray], said: str, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=said):
        MilSession(doubled(tmp_path), DOUBLED).run(feeds)


def test_a_result_is_the_callers_to_change(tmp_path: Path) -> None:
    path = save_package(tmp_path / "p.mlpackage", lambda x: mb.identity(x=x), {"x": normal(2, 3)})
    feed, session = normal(2, 3), MilSession(path, DOUBLED)
    session.run({"x": feed})["y0"][:] = 0
    np.testing.assert_array_equal(feed, normal(2, 3))


def squared_in(kind: str) -> Callable[[Any], Any]:
    return lambda x: mb.cast(x=mb.square(x=mb.cast(x=x, dtype=kind), name="squared"), dtype="fp32")


@pytest.mark.parametrize(("kind", "largest", "found"), [("fp16", 300, 1), ("fp16", 200, 0), ("fp32", 300, 0)])
def test_hazards_are_half_tensors_that_overflow(kind: str, largest: float, found: int, tmp_path: Path) -> None:
    path = save_package(tmp_path / "p.mlpackage", squared_in(kind), {"x": normal(2, 3)})
    feed = normal(2, 3)
    feed[0, 0] = largest
    peaks = MilSession(path, DOUBLED).peaks({"x": feed})
    assert [peak.operation for peak in peaks if peak.overflows][:1] == ["square"] * found


def test_not_a_number_is_a_hazard(tmp_path: Path) -> None:
    def body(x: Any) -> Any:
        return mb.cast(x=mb.sqrt(x=mb.cast(x=x, dtype="fp16")), dtype="fp32")

    path = save_package(tmp_path / "p.mlpackage", body, {"x": normal(2, 3)})
    hazards = [peak for peak in MilSession(path, DOUBLED).peaks({"x": -np.ones((2, 3), np.float32)}) if peak.overflows]
    assert np.isnan(hazards[0].value)
