"""The report's part on a search: every point is there and drawn where it belongs, and every layer keeps its reason."""

from __future__ import annotations

import dataclasses
import math
import re

import pytest

from sam_export.contract import LayerChoice
from sam_export.search_record import GroupHarm, SearchRecord
from sam_export.verify.report import ReportedCandidate, render_report
from sam_export.verify.report_search import group_layers, view_search
from sam_export.verify.report_search_plots import (
    BOTTOM,
    HARM_ROWS,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    format_ratio,
    loss_steps,
    nice_steps,
    plot_harm,
    plot_latency,
    plot_size,
)

from .report_samples import candidate, report
from .search_samples import GROUPS, REASON, point, record, searched
from .test_report import HOSTILE, Page


@pytest.fixture(scope="module")
def base() -> ReportedCandidate:
    return candidate(cases=0)


@pytest.fixture(scope="module")
def page(base: ReportedCandidate) -> Page:
    return Page(render_report(report(searched(base))))


def part(page: Page) -> str:
    return page.text[page.text.index("How it was quantized") : page.text.index("What the requested precision became")]


def test_report_without_a_search_says_nothing_of_one(base: ReportedCandidate) -> None:
    text = Page(render_report(report(base))).text
    assert "How it was quantized" not in text
    assert "Exceptions" in text


def test_lead_says_what_was_tried_and_taken(page: Page) -> None:
    text = part(page)
    for sentence in (
        "6 points were tried on onnxruntime 1.31.1, CPUExecutionProvider with 2 threads",
        "3 passed.",
        "Taken was the fastest that passed, “without 3 groups”: 0.48× the float graph’s time, 11.4 MB, "
        "worst mask IoU 0.9570.",
        "a mean mask IoU of 0.9900 on stable prompts and 0.9500 on the worst of them.",
        "That is 50 % closer to 1 than the gate asks",
    ):
        assert sentence in text


def test_every_point_is_in_the_table_fastest_first(page: Page) -> None:
    rows = re.findall(
        r"(all 8-bit inputs|without \d groups?)( taken)? ([✓✗]) (\S+) ([✓✗]) (\S+) \S+ \S+ (\S+×)", part(page)
    )
    assert [(label, bool(taken), mean, worst) for label, taken, _, mean, _, worst, _ in rows] == [
        ("all 8-bit inputs", False, "0.9637", "0.7100"),
        ("without 1 group", False, "0.9825", "0.8600"),
        ("without 2 groups", False, "0.9913", "0.9310"),
        ("without 3 groups", True, "0.9946", "0.9570"),
        ("without 4 groups", False, "0.9967", "0.9740"),
        ("without 8 groups", False, "0.9963", "0.9710"),
    ]
    assert [signs[2] + signs[4] for signs in rows] == ["✗✗", "✗✗", "✓✗", "✓✓", "✓✓", "✓✓"]


def test_failed_points_are_hollow_and_one_is_ringed(page: Page) -> None:
    drawn = [attributes.get("class") for attributes in page.all("circle") if attributes.get("cx") not in ("8", "10")]
    assert (drawn.count("point"), drawn.count("point failed"), drawn.count("ring")) == (3, 3, 1)


def test_layers_of_several_blocks_share_a_row(page: Page) -> None:
    text = part(page)
    assert f"encoder.layers.0.blocks.{{0..1,3}}.conv2.c 3 int8 weights, float inputs {REASON}" in text
    assert text.count(REASON) == 3
    assert "Its exceptions are listed above" in page.text
    assert page.text.count(REASON) == 3


def test_component_without_a_search_keeps_its_exceptions(base: ReportedCandidate) -> None:
    decoder = dataclasses.replace(record(), component="mask_decoder")
    text = Page(render_report(report(searched(base, decoder)))).text
    assert text.index(REASON) > text.index("What the requested precision became")
    assert text.index("loses its phase in fp16") < text.index("What the requested precision became")


def test_ablation_has_a_row_for_each_technique(page: Page) -> None:
    text = part(page)
    table = text[text.index("What each technique is worth") :]
    assert "+ smoothing 0.9530 0.6600 0.8600 0.6100 17.9 dB 0.44× 11.4 MB" in table
    assert table.count(" dB ") == 5


def test_ablation_alone_is_shown(base: ReportedCandidate) -> None:
    rows = tuple(dataclasses.replace(row, embeddings_snr_db=None, latency_ratio=None) for row in record().ablation)
    alone = dataclasses.replace(record(), points=(), harm=(), ablation=rows)
    text = part(Page(render_report(report(searched(base, alone)))))
    assert "+ smoothing 0.9530 0.6600 0.8600 0.6100 11.4 MB" in text
    assert "tried" not in text


def test_nothing_chosen_is_said(base: ReportedCandidate) -> None:
    failed = dataclasses.replace(record(), points=(point(0, 0.5, 0.4),))
    text = part(Page(render_report(report(searched(base, failed)))))
    assert "1 point was tried" in text
    assert "None of them was taken" in text


def test_search_without_times_is_drawn_by_size(base: ReportedCandidate) -> None:
    points = (point(0, 0.9, None, bytes=5_000_000), point(2, 0.97, None, bytes=8_000_000, chosen=True))
    untimed = dataclasses.replace(record(), preferred="size", points=points, ablation=())
    view = view_search(untimed, ())
    assert view.latency_plot is None
    assert view.size_plot is not None
    text = part(Page(render_report(report(searched(base, untimed)))))
    assert "smallest first" in text
    assert "Accuracy against size" in text
    assert "Taken was the smallest that passed, “without 2 groups”: 8.0 MB" in text
    assert "not timed" not in text
    assert "×" not in text


def test_equal_sizes_have_no_plot_of_their_own() -> None:
    assert plot_size(record()) is None
    assert plot_size(dataclasses.replace(record(), points=())) is None


def test_page_stays_well_formed_and_accessible(page: Page) -> None:
    assert all("aria-label" in attributes or "aria-hidden" in attributes for attributes in page.all("svg"))
    assert all(attributes.get("scope") in ("col", "row") for attributes in page.all("th"))
    assert page.all("script") == []


def test_names_of_strangers_stay_text(base: ReportedCandidate) -> None:
    hostile = dataclasses.replace(
        record(),
        engine=HOSTILE,
        points=(point(1, 0.97, 0.5, label=HOSTILE, chosen=True, without=(HOSTILE,)),),
        harm=(GroupHarm(HOSTILE, 1, 1.0),),
        ablation=(dataclasses.replace(record().ablation[0], label=HOSTILE),),
    )
    text = render_report(report(searched(base, hostile)))
    assert Page(text).all("script") == []
    assert Page(text).all("img") == []
    assert "\u202e" not in text
    text.encode("utf-8")


def test_faster_is_left_and_better_is_up() -> None:
    plot = plot_latency(record())
    assert plot is not None
    by_name = {dot.title.partition(":")[0]: dot for dot in plot.dots}
    slow, fast, taken = by_name["without 8 groups"], by_name["all 8-bit inputs"], by_name["without 3 groups"]
    assert fast.x < taken.x < slow.x
    assert slow.y < taken.y < plot.limit.at < fast.y
    assert [dot.chosen for dot in plot.dots].count(True) == 1


def test_frontier_leaves_out_what_is_beaten() -> None:
    plot = plot_latency(record())
    assert plot is not None
    beaten = next(dot for dot in plot.dots if dot.title.startswith("without 8 groups"))
    corners = re.findall(r"[HM](\S+)", plot.frontier)
    assert len(corners) == 5
    assert str(beaten.x) not in corners


@pytest.mark.parametrize(
    "points",
    [
        (point(0, 0.97, 0.5),),
        (point(0, 1.0, 0.5), point(1, 0.0, 0.5)),
        (point(0, 1.0, 1e4), point(1, 1.0, 1e-9)),
        (point(0, math.nan, 0.5), point(1, 0.99999999, 0.51)),
    ],
    ids=["one", "best and worst at one time", "far apart", "no number"],
)
def test_odd_points_are_drawn_inside(points: tuple) -> None:
    plot = plot_latency(dataclasses.replace(record(), points=points))
    assert plot is not None
    assert len(plot.dots) == len(points)
    for dot in plot.dots:
        assert LEFT <= dot.x <= WIDTH - RIGHT
        assert TOP <= dot.y <= HEIGHT - BOTTOM
    assert 2 <= len(plot.x_ticks) <= 9
    assert 2 <= len(plot.y_ticks) <= 8


@pytest.mark.parametrize(
    ("losses", "labelled"),
    [
        ((0.05, 0.02), (0.05, 0.02)),
        ((0.3, 0.011), (0.5, 0.2, 0.1, 0.05, 0.02, 0.01)),
        ((0.05,), (0.05, 0.02)),
        ((1e-5,), (2e-5, 1e-5)),
        ((1.0, 1e-5), (1.0, 0.1, 0.01, 0.001, 1e-4, 1e-5)),
    ],
    ids=["on the marks", "between", "one", "least", "all"],
)
def test_losses_are_labelled_around_the_values(losses: tuple[float, ...], labelled: tuple[float, ...]) -> None:
    assert loss_steps(losses) == pytest.approx(labelled)


@pytest.mark.parametrize(
    ("values", "steps"),
    [
        ((0.43, 0.61), (0.4, 0.45, 0.5, 0.55, 0.6, 0.65)),
        ((5.1, 9.7), (5, 6, 7, 8, 9, 10)),
        ((0.5,), (0.5, 0.505, 0.51)),
    ],
    ids=["ratios", "megabytes", "one"],
)
def test_steps_are_round_numbers_around_the_values(values: tuple[float, ...], steps: tuple[float, ...]) -> None:
    assert nice_steps(values) == pytest.approx(steps)


def test_harm_is_ranked_and_what_was_left_in_float_is_marked() -> None:
    shuffled = dataclasses.replace(record(), harm=record().harm[::-1])
    plot = plot_harm(shuffled)
    assert plot is not None
    assert [row.left_out for row in plot.rows] == [True] * 3 + [False] * (HARM_ROWS - 3)
    assert [row.x for row in plot.rows] == sorted((row.x for row in plot.rows), reverse=True)
    assert plot.rows[0].title.startswith(f"{GROUPS[0]}: 47.4 % of the harm")
    assert plot.hidden == len(GROUPS) - HARM_ROWS


@pytest.mark.parametrize("harm", [(), (GroupHarm("a", 1, 0.0),)], ids=["none", "harmless"])
def test_no_harm_no_plot(harm: tuple[GroupHarm, ...]) -> None:
    assert plot_harm(dataclasses.replace(record(), harm=harm)) is None


def test_harms_of_any_size_are_drawn_inside() -> None:
    harm = (GroupHarm("a", 1, 1e300), GroupHarm("b", 1, 1e-300), GroupHarm("c", 1, 0.0))
    plot = plot_harm(dataclasses.replace(record(), harm=harm))
    assert plot is not None
    assert all(plot.left <= row.x <= plot.width for row in plot.rows)
    assert plot.hidden == 1


def choice(name: str, reason: str = REASON) -> LayerChoice:
    return LayerChoice(name, "float", reason)


def test_layers_group_by_their_last_number_only() -> None:
    names = ("a.0.b.1.fc", "a.0.b.2.fc", "a.1.b.2.fc", "neck.0", "neck.2", "plain", "a.0.b.11.fc", "a.0.b.10.fc")
    rows = {row.layers: row.count for row in group_layers(choice(name) for name in names)}
    assert rows == {"a.0.b.{1..2,10..11}.fc": 4, "a.1.b.2.fc": 1, "neck.0": 1, "neck.2": 1, "plain": 1}


def test_layers_with_another_reason_stand_apart() -> None:
    rows = group_layers((choice("b.0.fc"), choice("b.1.fc", "too small to pay"), choice("b.2.fc")))
    assert [(row.layers, row.reason) for row in rows] == [("b.{0,2}.fc", REASON), ("b.1.fc", "too small to pay")]


def test_times_are_rounded_up() -> None:
    assert [format_ratio(value) for value in (0.43, 0.4301, 1.0, None)] == ["0.43×", "0.44×", "1.00×", "not timed"]


def test_same_record_same_text(base: ReportedCandidate) -> None:
    def text(one: SearchRecord) -> str:
        return render_report(report(searched(base, one)))

    assert text(record()) == text(record())
