"""Names of precisions, for both components and for each."""

from __future__ import annotations

import pytest

from sam_export.errors import RequestError
from sam_export.precision import combined, of_components


@pytest.mark.parametrize(("name", "encoder", "decoder"), [("int8", "int8", "int8"), ("int8+fp32", "int8", "fp32")])
def test_one_name_is_for_both(name: str, encoder: str, decoder: str) -> None:
    assert of_components(name) == {"image_encoder": encoder, "mask_decoder": decoder}


@pytest.mark.parametrize("name", ["", "int8+", "+fp32", "int8+fp32+w8"])
def test_what_names_no_two_components_is_refused(name: str) -> None:
    with pytest.raises(RequestError, match="give one for both components, or ENCODER"):
        of_components(name)


@pytest.mark.parametrize(
    ("both", "encoder", "decoder", "expected"),
    [
        (("fp32", "w8"), (), (), ("fp32", "w8")),
        (("w8",), ("int8",), (), ("int8+w8",)),
        ((), ("int8",), (), ("int8+fp16",)),
        ((), ("int8", "w8"), ("w8",), ("int8+w8", "w8")),
    ],
)
def test_a_components_own_overrides_both(
    both: tuple[str, ...], encoder: tuple[str, ...], decoder: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    assert combined(both, encoder, decoder, "fp16") == expected
