"""One test case of one operation handler, and the check that all of them go through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import pytest
import torch

from sam_export.verify.mil.evaluate import Evaluator
from sam_export.verify.mil.ops import HANDLERS, VIEWS
from sam_export.verify.mil.program import Operation, Program, load_program

from .packages import Body, own_value, save_package

IOS16, IOS17, IOS18 = ct.target.iOS16, ct.target.iOS17, ct.target.iOS18


@dataclass(frozen=True)
class Case:
    """`body(**feeds)` builds `op`; `expected(**feeds)` is torch's answer, or None for coremltools' own value."""

    op: str
    variant: str
    body: Body
    feeds: Mapping[str, np.ndarray]
    expected: Callable[..., torch.Tensor] | None = None
    target: Any = IOS16
    rtol: float = field(default=2e-6)

    @property
    def id(self) -> str:
        return f"{self.op}-{self.variant}" if self.variant else self.op

    def wanted(self) -> tuple[np.ndarray, ...]:
        if self.expected is None:
            return own_value(self.body, self.feeds, self.target)
        return (self.expected(**{name: torch.from_numpy(feed) for name, feed in self.feeds.items()}).numpy(),)


def over(cases: tuple[Case, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=[case.id for case in cases])


def normal(*shape: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


def integers(*shape: int, low: int = -9, high: int = 9, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, shape).astype(np.int32)


def check(case: Case, folder: Path) -> None:
    """Save, load and evaluate the case; assert values, shapes, kinds, and fresh storage where rounding is in place."""
    program = load_program(save_package(folder / "case.mlpackage", case.body, case.feeds, case.target), HANDLERS)
    assert case.op in [operation.type for operation in program.operations]
    outputs = evaluated(program, case)
    wanted = case.wanted()
    assert len(outputs) == len(wanted)
    for output, want in zip(outputs, wanted, strict=True):
        assert tuple(output.shape) == want.shape
        assert output.is_floating_point() == (want.dtype.kind == "f")
        np.testing.assert_allclose(output.numpy(), want.astype(np.float64), rtol=case.rtol, atol=case.rtol)


def evaluated(program: Program, case: Case) -> list[torch.Tensor]:
    feeds = {name: torch.from_numpy(feed.copy()) for name, feed in case.feeds.items()}
    evaluator = Evaluator(program)
    held = {tensor.untyped_storage().data_ptr() for tensor in (*feeds.values(), *program.constants.values())}

    def require_fresh(operation: Operation, name: str, value: torch.Tensor) -> None:
        assert operation.type in VIEWS or value.untyped_storage().data_ptr() not in held
        held.add(value.untyped_storage().data_ptr())

    results = evaluator.run(feeds, require_fresh)
    return [results[name] for name in program.outputs]
