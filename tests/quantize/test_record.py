"""What a search measured, as the report keeps it: every try, its verdict, and which one was taken."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from sam_export.contract import EngineReport
from sam_export.quantize.plan import ComponentPlan, LayerPlan
from sam_export.quantize.record import search_record
from sam_export.quantize.trial import Score
from sam_export.quantize.tries import SearchState, Try, passes
from sam_export.search_record import SearchRecord, decode_records, encode_records
from sam_export.verification import Limits

LIMITS = Limits(mean_iou=0.98, worst_iou=0.9, logit_snr_db=10.0)
ENGINE = EngineReport("onnxruntime", "1.31.1", "CPUExecutionProvider", "fp32", 2, {})
LAYERS = ("stem", "stage.blocks.0.fc", "stage.blocks.1.fc")
PLAN = ComponentPlan(layers=tuple(LayerPlan(name, "int8", "uint8") for name in LAYERS))
SCORES = {
    (): Score(0.96, 0.7, 0.9, 0.6, 0.41, 11_000_000),
    ("stem",): Score(0.995, 0.97, 0.95, 0.8, 0.45, 11_000_000),
    ("stem", "stage.blocks.*.fc"): Score(0.999, 0.99, 0.97, 0.9, 0.6, 11_000_000),
}
STATE = SearchState(
    "key",
    {"stage.blocks.*.fc": 1.0, "stem": 9.0},
    tries=tuple(Try(PLAN, without, score) for without, score in SCORES.items()),
)


def made(state: SearchState = STATE, chosen: Try | None = None) -> SearchRecord:
    return search_record("image_encoder", state, LIMITS, "speed", ENGINE, chosen=chosen)


def test_every_try_is_kept_with_its_verdict() -> None:
    record = made(chosen=STATE.tries[1])
    assert [(point.label, point.without) for point in record.points] == [
        ("all 8-bit inputs", ()),
        ("groups: 1 in float", ("stem",)),
        ("groups: 2 in float", ("stem", "stage.blocks.*.fc")),
    ]
    assert [(point.passed, point.chosen) for point in record.points] == [(False, False), (True, True), (True, False)]
    assert record.points[1].latency_ratio == 0.45
    assert record.engine == "onnxruntime 1.31.1, CPUExecutionProvider"
    assert decode_records(encode_records((record,)), "x") == (record,)


def test_levels_are_told_apart() -> None:
    lifted = ("split a", "b", "split c", "fp32 d", "fp32")
    (point,) = made(SearchState("key", tries=(Try(PLAN, lifted, SCORES[()]),))).points
    assert point.label == "groups: 2 split, 1 in float, 1 in fp32, all else in fp32"
    assert point.without == lifted


def test_fewer_bits_have_a_name_of_their_own() -> None:
    (point,) = made(SearchState("key", tries=(Try(PLAN, (), SCORES[()], 4.87),))).points
    assert point.label == "4.9 bits a weight"


def test_what_else_a_try_is_stands_in_its_name() -> None:
    clipped = replace(PLAN, ranges="mse")
    stored = ComponentPlan(layers=(LayerPlan("stem", "int8"),))
    floats = ComponentPlan("fp16", layers=(LayerPlan("stem"),))
    plans = (clipped, stored, floats, replace(floats, float32=("stem",)))
    state = SearchState("key", tries=tuple(Try(plan, (), SCORES[()]) for plan in plans))
    assert [point.label for point in made(state).points] == [
        "all 8-bit inputs, ranges of the least squared error",
        "all 8-bit weights",
        "all in fp16",
        "all in fp16, but for what does not fit",
    ]


def test_limits_of_the_record_are_those_that_tries_were_held_to() -> None:
    limits = made().limits
    for nudge, held in ((1e-6, True), (-1e-6, False)):
        score = Score(limits.mean_iou + nudge, limits.worst_iou + nudge, 0.9, 0.9, 0.4, 1)
        assert passes(score, LIMITS) == held


def test_groups_come_most_harmful_first_with_their_layers() -> None:
    assert [(one.group, one.layers, one.harm) for one in made().harm] == [
        ("stem", 1, 9.0),
        ("stage.blocks.*.fc", 2, 1.0),
    ]


@pytest.mark.parametrize("latency", [math.nan, 0.0, math.inf], ids=["no number", "nothing", "endless"])
def test_what_is_no_time_is_no_time(latency: float) -> None:
    one = Try(PLAN, (), Score(math.nan, 0.9, 1.0000001, 0.9, latency, 1))
    (point,) = made(SearchState("key", tries=(one,))).points
    assert point.latency_ratio is None
    assert (point.stable_mean, point.harsh_mean) == (0.0, 1.0)
    record = made(SearchState("key", tries=(one,)))
    assert decode_records(encode_records((record,)), "x") == (record,)


def test_search_without_tries_is_a_record_without_points() -> None:
    assert made(SearchState("key")).points == ()
