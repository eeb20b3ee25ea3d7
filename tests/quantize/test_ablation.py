"""The ablation: one technique more a row, measured as a search measures, and kept in the search's record."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from sam_export.errors import RequestError
from sam_export.models import Component, SamModel, components
from sam_export.quantize.ablation import into_record, steps
from sam_export.quantize.layers import is_splittable
from sam_export.quantize.plan import ComponentPlan
from sam_export.search_record import AblationRow, decode_records, encode_records
from tests.verify.search_samples import record

ROW = AblationRow("nothing left out", 0.9, 0.8, 0.7, 0.6, None, 0.5, 1000)


@pytest.fixture(scope="module")
def encoder(tiny_sam: SamModel) -> Component:
    return components(tiny_sam)[0]


@pytest.mark.parametrize("target", ["onnx", "openvino", "coreml"])
def test_each_row_is_one_technique_more(encoder: Component, target: str) -> None:
    plans = [plan for _, plan in steps(encoder, target)]
    assert {one.inputs for one in plans[0].layers} == {"uint8"}
    assert [plan.ranges for plan in plans[:4]] == ["minmax", "percentile", "mse", "mask"]
    last = plans[-1]
    assert (last.smoothing > 0, last.rounding, last.correct_biases) == (True, "gptq", True)
    cumulative = [plans[0], *plans[4:]]
    for before, after in itertools.pairwise(cumulative):
        assert len(changed(before, after)) == 1


def changed(before: ComponentPlan, after: ComponentPlan) -> list[str]:
    names = ("layers", "ranges", "smoothing", "rounding", "correct_biases")
    return [name for name in names if getattr(before, name) != getattr(after, name)]


def test_a_target_has_the_techniques_that_pay_there(encoder: Component) -> None:
    """Layers left out where kernels are slow; inputs rounded twice where that is one product."""
    labels = {target: [label for label, _ in steps(encoder, target)] for target in ("onnx", "openvino", "coreml")}
    assert set(labels["onnx"]) - set(labels["openvino"]) == {"min-max ranges, small convolutions in float"}
    assert set(labels["openvino"]) - set(labels["onnx"]) == {"and the inputs and weights of convolutions rounded twice"}
    (*_, (_, last)) = steps(encoder, "openvino")
    split = {one.layer for one in last.layers if one.inputs == "split"}
    assert split
    assert all(is_splittable(encoder.module.get_submodule(name)) for name in split)


def test_rows_go_into_the_record_of_the_search(tmp_path: Path) -> None:
    path = tmp_path / "search.json"
    known = record()
    path.write_bytes(encode_records((known,)))
    into_record(path, replace(known, points=(), ablation=(ROW,)))
    assert decode_records(path.read_bytes(), "kept") == (replace(known, ablation=(ROW,)),)


def test_rows_alone_make_a_record(tmp_path: Path) -> None:
    path = tmp_path / "search.json"
    alone = replace(record(), points=(), harm=(), ablation=(ROW,))
    into_record(path, alone)
    assert decode_records(path.read_bytes(), "new") == (alone,)


def test_another_file_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    with pytest.raises(RequestError, match="not a record of a search"):
        into_record(path, record())
    assert path.read_text() == "mine"
