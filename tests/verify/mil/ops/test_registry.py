"""The table of handlers: complete tests, no operation twice."""

from __future__ import annotations

import pytest

from sam_export.verify.mil.ops import HANDLERS, VIEWS, elementwise, merged

from . import test_compressed, test_elementwise, test_linear, test_normalise, test_shape, test_spatial

TESTED = {
    case.op
    for module in (test_compressed, test_elementwise, test_linear, test_normalise, test_shape, test_spatial)
    for case in module.CASES
}


def test_every_handler_has_a_case() -> None:
    assert set(HANDLERS) == TESTED


def test_every_view_is_an_operation() -> None:
    assert set(HANDLERS) >= VIEWS


def test_an_operation_defined_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="defined twice: add"):
        merged((elementwise.HANDLERS, {"add": elementwise.HANDLERS["sub"]}))
