"""Negative numbers reach their option; everything else is left as it was."""

from __future__ import annotations

import pytest

from sam_export.cli.words import with_negative_numbers


@pytest.mark.parametrize(
    ("words", "tied"),
    [
        (["--box", "-5,10,20,30"], ["--box=-5,10,20,30"]),
        (["--point", "-.5,4", "--point", "-3,4,1"], ["--point=-.5,4", "--point=-3,4,1"]),
        (["b", "--min-iou", "-0.5", "-o", "x"], ["b", "--min-iou=-0.5", "-o", "x"]),
        (["--box", "5,10,20,30"], ["--box", "5,10,20,30"]),
        (["--box=1,2,3,4", "-5"], ["--box=1,2,3,4", "-5"]),
        (["--json", "-o", "-5"], ["--json", "-o", "-5"]),
        (["--", "--box", "-5,10,20,30"], ["--", "--box", "-5,10,20,30"]),
        (["-5"], ["-5"]),
        ([], []),
    ],
    ids=["box", "two points", "one number", "positive", "has a value", "short option", "after --", "alone", "nothing"],
)
def test_a_negative_number_is_tied_to_the_option_before_it(words: list[str], tied: list[str]) -> None:
    assert with_negative_numbers(words) == tied
