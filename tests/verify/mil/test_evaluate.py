"""The evaluation loop: rounding, peaks, freeing, constants, errors."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from coremltools.converters.mil import Builder as mb

from sam_export.errors import ContractError, RequestError, UnsupportedError
from sam_export.verify.mil.evaluate import ROUNDING_CHUNK, Evaluator, Rounding, round_to_float16_
from sam_export.verify.mil.ops import HANDLERS
from sam_export.verify.mil.program import Operation, load_program

from .cases import IOS16, IOS17, normal
from .packages import Body, save_package

X = normal(2, 3)


def evaluator(
    folder: Path, body: Body, *, rounding: Rounding = "fp16", target: Any = IOS16, x: np.ndarray = X
) -> Evaluator:
    path = save_package(folder / "p.mlpackage", body, {"x": x}, target)
    return Evaluator(load_program(path, HANDLERS), rounding)


def thirds_in_half(x: Any) -> Any:
    half = mb.real_div(x=mb.cast(x=x, dtype="fp16"), y=np.float16(3))
    return mb.cast(x=half, dtype="fp32"), mb.real_div(x=x, y=np.float32(3))


@pytest.mark.parametrize(
    ("shape", "permuted"),
    [((3, 5), False), ((ROUNDING_CHUNK + 7,), False), ((3, 5, 7), True)],
    ids=["small", "several-pieces", "not-contiguous"],
)
def test_rounding_in_place_is_torchs(shape: tuple[int, ...], permuted: bool) -> None:
    value = torch.from_numpy(normal(*shape, scale=3e4))
    value = value.permute(2, 0, 1) if permuted else value
    wanted = value.half().float()
    assert round_to_float16_(value) is value
    assert torch.equal(value, wanted)


def test_declared_half_is_rounded_and_declared_single_is_not(tmp_path: Path) -> None:
    x = torch.from_numpy(X)
    results = evaluator(tmp_path, thirds_in_half).run({"x": x})
    assert torch.equal(results["y0"], (x.half().float() / 3).half().float())
    assert torch.equal(results["y1"], x / 3)


def test_without_rounding_nothing_is_rounded(tmp_path: Path) -> None:
    x = torch.from_numpy(X)
    results = evaluator(tmp_path, thirds_in_half, rounding="none").run({"x": x})
    assert torch.equal(results["y0"], x / 3)


def test_half_input_is_rounded_and_the_callers_tensor_is_left_alone(tmp_path: Path) -> None:
    feed = torch.tensor([1.0001, 2.0002])
    run = evaluator(tmp_path, lambda x: mb.cast(x=x, dtype="fp32"), x=np.zeros(2, np.float16), target=IOS16)
    assert torch.equal(run.run({"x": feed})["y0"], feed.half().float())
    assert torch.equal(feed, torch.tensor([1.0001, 2.0002]))


def test_stored_weights_are_rounded_in_either_mode(tmp_path: Path) -> None:
    def body(x: Any) -> Any:
        scale = np.array([0.1, 0.3], np.float16)
        data, zero = np.array([[3, 7, 9], [1, 5, 11]], np.int8), np.array([0, 0], np.int8)
        weight = mb.constexpr_affine_dequantize(quantized_data=data, zero_point=zero, scale=scale, axis=0)
        return mb.cast(x=mb.linear(x=mb.cast(x=x, dtype="fp16"), weight=weight), dtype="fp32")

    run = evaluator(tmp_path, body, rounding="none")
    scale = torch.tensor([0.1, 0.3]).half().float()
    weight = (torch.tensor([[3.0, 7, 9], [1, 5, 11]]) * scale[:, None]).half().float()
    assert torch.equal(run.run({"x": torch.from_numpy(X)})["y0"], torch.from_numpy(X) @ weight.T)


def test_peaks_are_taken_before_rounding(tmp_path: Path) -> None:
    def body(x: Any) -> Any:
        return mb.cast(x=mb.square(x=mb.cast(x=x, dtype="fp16"), name="squared"), dtype="fp32")

    run = evaluator(tmp_path, body, x=np.zeros(3, np.float32))
    feeds = {"x": torch.tensor([1.0, -400.0, 3.0])}
    squared = next(peak for peak in run.peaks(feeds) if peak.operation == "square")
    assert (squared.value, squared.dtype) == (160000.0, "fp16")
    assert torch.isinf(run.run(feeds)["y0"][1])


def test_tensors_are_freed_after_their_last_read(tmp_path: Path) -> None:
    def body(x: Any) -> Any:
        for _ in range(6):
            x = mb.add(x=x, y=np.float32(1))
        return x

    made: list[weakref.ref[torch.Tensor]] = []
    alive: list[int] = []

    def watch(operation: Operation, name: str, value: torch.Tensor) -> None:
        made.append(weakref.ref(value))
        alive.append(sum(reference() is not None for reference in made))

    result = evaluator(tmp_path, body).run({"x": torch.from_numpy(X)}, watch)["y0"]
    torch.testing.assert_close(result, torch.from_numpy(X) + 6)
    assert alive == [1, 2, 2, 2, 2, 2]


def test_a_computed_constant_may_be_an_output(tmp_path: Path) -> None:
    run = evaluator(tmp_path, lambda x: (mb.identity(x=x), mb.identity(x=np.float32([4, 5]))))
    results = run.run({"x": torch.from_numpy(X)})
    assert results["y1"].tolist() == [4, 5]


def test_several_runs_give_the_same(tmp_path: Path) -> None:
    run = evaluator(tmp_path, thirds_in_half)
    first, second = (run.run({"x": torch.from_numpy(X)})["y0"] for _ in range(2))
    assert torch.equal(first, second)


def test_unknown_rounding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="allowed: fp16, none"):
        evaluator(tmp_path, thirds_in_half, rounding="bf16")  # type: ignore[arg-type]  # what is tested


def test_shapes_that_do_not_fit_name_the_operation(tmp_path: Path) -> None:
    run = evaluator(tmp_path, lambda x: mb.add(x=x, y=X))
    with pytest.raises(ContractError, match=r"p\.mlpackage: operation 'add' giving 'y0' failed") as raised:
        run.run({"x": torch.ones(7, 7)})
    assert "\n" not in str(raised.value)


def test_an_attribute_that_is_not_evaluated_names_the_operation(tmp_path: Path) -> None:
    def body(x: Any) -> Any:
        return mb.concat(values=(x, x), axis=0, interleave=True)

    run = evaluator(tmp_path, body)
    with pytest.raises(UnsupportedError, match=r"p\.mlpackage: operation 'concat' giving 'y0': concat: interleave"):
        run.run({"x": torch.from_numpy(X)})


def test_quantized_activations_saturate(tmp_path: Path) -> None:
    def body(x: Any) -> Any:
        steps = mb.quantize(input=x, scale=np.float32(0.5), output_dtype="int8")
        return mb.dequantize(input=steps, scale=np.float32(0.5))

    run = evaluator(tmp_path, body, target=IOS17, x=np.zeros(3, np.float32))
    assert run.run({"x": torch.tensor([0.3, 9.2, 500.0])})["y0"].tolist() == [0.5, 9.0, 63.5]
