"""The goldens that other languages are held to are what this code computes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from sam_export.errors import RequestError

from . import goldens

LOOSE = {"logits", "least_margin"}  # sums whose order a processor's BLAS decides


def golden(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((goldens.FOLDER / name).read_text())
    return loaded


@pytest.mark.parametrize("name", goldens.goldens())
def test_goldens_are_current(name: str) -> None:
    made = json.loads(goldens.goldens()[name])
    assert_alike(made, golden(name))


def assert_alike(made: Any, kept: Any) -> None:
    """Equal, but for what BLAS may add up in another order."""
    if isinstance(made, dict):
        assert made.keys() == kept.keys()
        for key, value in made.items():
            if key in LOOSE:
                np.testing.assert_allclose(value, kept[key], atol=1e-4)
            else:
                assert_alike(value, kept[key])
    elif isinstance(made, list):
        assert len(made) == len(kept)
        for one, other in zip(made, kept, strict=True):
            assert_alike(one, other)
    else:
        assert made == kept


def test_no_golden_mask_hangs_on_rounding() -> None:
    assert min(case["least_margin"] for case in golden("postprocess.json")["cases"]) > 2e-5


@pytest.mark.parametrize("name", goldens.REFUSED)
def test_prompts_that_make_no_sense_are_refused(name: str) -> None:
    prompt, rule = goldens.REFUSED[name]
    with pytest.raises(RequestError):
        goldens.asked(prompt, rule)
