"""A file of any model, by names and shapes alone, given as another: the layouts of all real rows, without weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sam_export.models import FAMILIES, VARIANTS
from sam_export.models.catalog import same_graphs
from sam_export.models.loader import layout_of
from sam_export.models.recognise import Known, advice, matches_of

FILE = Path("mine.pth")
ONE_OF_EACH = [name for name in VARIANTS if same_graphs(name) == name]


@pytest.fixture(scope="module")
def known() -> dict[str, Known]:
    found = {}
    for name, row in VARIANTS.items():
        family = FAMILIES[row.family]
        with torch.device("meta"):
            found[name] = Known(name, layout_of(family.build(row)), family.to_upstream)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_file_of_any_model_is_recognised_as_it(known: dict[str, Known], name: str) -> None:
    """Whatever other model it was given as; those of one layout are all named, and none of them is told the others."""
    layout = known[name].layout
    tensors = {key: torch.empty(shape, device="meta") for key, shape in layout.items()}
    found = matches_of(tensors, known.values())
    alike = [other for other, one in known.items() if one.layout == layout]
    said = f"; it looks like {' or '.join(alike)} ({len(layout)} of {len(layout)} tensors fit): use"
    for asked in ONE_OF_EACH:
        expected = "" if asked in alike else f"{said} `sam-export {alike[0]} --checkpoint mine.pth`"
        assert advice(asked, FILE, found) == expected


def test_a_decoder_that_most_families_share_is_no_sign(known: dict[str, Known]) -> None:
    layout = {name: shape for name, shape in known["mobile_sam"].layout.items() if name.startswith("mask_decoder.")}
    tensors = {key: torch.empty(shape, device="meta") for key, shape in layout.items()}
    few = dict(list(tensors.items())[:20])
    assert advice("edgetam", FILE, matches_of(few, known.values())) == ""
