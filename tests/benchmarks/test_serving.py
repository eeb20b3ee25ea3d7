"""The load generator and its reports, against a server of the geometric model; nothing here judges a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from sam_export.benchmarks.load import FAILED, OK, UNSENT, VANISHED, Attempt, Outcome, Plan, outcome, percentile, run
from sam_export.benchmarks.overload import Overload, overload_text
from sam_export.benchmarks.serving import markdown, measure_serving
from sam_export.benchmarks.soak import faults_not_asked_for, soak
from sam_export.benchmarks.soak_report import SoakReport, longest_gap, recoveries
from sam_export.benchmarks.soak_report import markdown as soak_markdown
from sam_export.errors import RequestError

from ..runtimes.conftest import bundle, graph_folder, picture, segmenter, sessions

__all__ = ["bundle", "graph_folder", "picture", "segmenter", "sessions"]


@pytest.mark.parametrize(
    "plan",
    [
        Plan("http://192.0.2.1:80", "encode", "x", 1),
        Plan("https://example.org", "encode", "x", 1),
        Plan("http://127.0.0.1.example.org", "encode", "x", 1),
        Plan("http://127.0.0.1:1", "encode", "x", 1e9),
        Plan("http://127.0.0.1:1", "encode", "x", 1, clients=100_000),
        Plan("http://127.0.0.1:1", "encode", "x", 3000, rate=1e6),
    ],
    ids=["another machine", "a name", "a name that looks like it", "days", "clients", "requests"],
)
def test_only_this_machine_is_loaded_and_only_so_much(plan: Plan) -> None:
    with pytest.raises(RequestError, match=r"allowed: at most|only a server on 127"):
        run(plan)


def test_attempts_summed_up() -> None:
    plan = Plan("http://127.0.0.1", "encode", "x", 10, rate=3)
    attempts = [Attempt(0, 100, OK), Attempt(1, 300, OK), Attempt(9, 5000, 429), Attempt(2, 1, FAILED)]
    refused = [Attempt(4, 1, 429, 7.0), Attempt(5, 1, 429, 3.0)]
    found = outcome(plan, [*attempts, *refused, Attempt(3, 4, VANISHED), Attempt(3, 0, UNSENT)])
    assert found.statuses == {"200": 2, "429": 3, "client left": 1, "no answer": 1, "not sent": 1}
    assert (found.retry_after_s, found.untold) == ((3.0, 7.0), 1)
    assert (found.p50_ms, found.p99_ms, found.longest_ms) == (300, 300, 300)
    assert found.seconds == 14
    assert found.a_second == pytest.approx(2 / 14)


def test_percentiles() -> None:
    assert percentile([], 0.5) is None
    assert percentile(range(100), 0.5) == 50
    assert percentile(range(100), 0.99) == 99


def test_the_longest_gap_counts_from_the_begin_and_to_the_end() -> None:
    assert longest_gap([Attempt(3, 1000, OK), Attempt(4, 1000, OK), Attempt(5, 1, 500)]) == 4
    assert longest_gap([Attempt(0, 1000, OK), Attempt(20, 1, 500)]) == 19
    assert longest_gap([Attempt(8, 1, 500)]) == 8


def test_a_silence_ends_with_any_answer() -> None:
    attempts = [Attempt(3, 1000, OK), Attempt(4, 4000, 429), Attempt(9, 1000, FAILED), Attempt(10, 9, VANISHED)]
    assert longest_gap(attempts, lambda status: status > 0) == 4
    assert longest_gap(attempts) == 6


def test_a_recovery_lasts_from_the_last_fault_to_the_next_picture() -> None:
    bursts = [Attempt(1, 1000, 500), Attempt(3, 1000, 500), Attempt(4, 2000, OK), Attempt(5, 500, 429)]
    assert recoveries([*bursts, Attempt(8, 1000, 500)]) == (2,)
    assert recoveries([]) == ()


def test_faults_that_were_not_asked_for_are_counted() -> None:
    asked = '{"error":"RuntimeError","traceback":"Traceback (most recent call last): a fault that was asked for"}'
    assert faults_not_asked_for(f'{asked}\n{{"status":500}}\n') == 0
    assert faults_not_asked_for(f"{asked}\nTraceback (most recent call last):\n  KeyError\n") == 1


def soaked(statuses: dict[str, int], untold: int = 0) -> Outcome:
    return Outcome("encode", 1, 2.0, 60.0, statuses, 1.0, 1.0, 1.0, 1.0, (1.0, 30.0), untold)


def report(**changes: object) -> SoakReport:
    fields: dict[str, object] = {
        "bundle": "b",
        "threads": 1,
        "minutes": 1.0,
        "capacity": 1.0,
        "outcome": soaked({"200": 9, "429": 9, "500": 2, "client left": 1}),
        "memory_seconds": (0.0,),
        "memory_mb": (400.0,),
        "warm_mb": 400.0,
        "last_mb": 410.0,
        "longest_silence_s": 1.0,
        "longest_gap_s": 4.0,
        "recoveries_s": (0.4, 0.6),
        "recovery_s": 0.5,
        "own_faults": 0,
        "held": 0.0,
    }
    return SoakReport(**{**fields, **changes})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"last_mb": 600.0}, "memory in the end: 600 MB; allowed: to 470 MB"),
        ({"outcome": soaked({"200": 9, "429": 9, "no answer": 1})}, "no answer: 1; allowed: 0"),
        ({"outcome": soaked({"429": 9})}, "answered with 200: 0"),
        ({"outcome": soaked({"200": 9, "429": 9, "503": 2})}, "other answers: 503: 2; allowed: 0"),
        ({"outcome": soaked({"200": 9, "429": 9}, untold=2)}, "when to come again: 2"),
        ({"outcome": soaked({"200": 9, "client left": 1})}, "for each picture encoded: 1.1; allowed: from 1.5"),
        ({"own_faults": 3}, "not asked for: 3"),
        ({"held": 2.0}, "held after the end: 2"),
        ({"longest_silence_s": 11.0}, "without an answer: 11.0 s"),
        ({"longest_gap_s": 14.0}, "without a picture: 14.0 s"),
        ({"recoveries_s": (1.0, 12.0)}, "2 times: at most 12.0 s"),
        ({"recovery_s": None}, "after the end: never"),
    ],
    ids=["memory", "lost", "dead", "503", "untold", "calm", "faults", "held", "silence", "gap", "recovery", "end"],
)
def test_a_soak_that_goes_wrong_says_so(changes: dict[str, object], says: str) -> None:
    assert report().complaints == ()
    (complaint,) = report(**changes).complaints
    assert says in complaint
    assert f"WRONG: {complaint}" in soak_markdown(report(**changes))


LOST = Outcome("encode", 1, 2.0, 60.0, {"200": 9, "no answer": 1}, 1.0, 1.0, 1.0, 1.0)


def overloaded(**changes: object) -> Overload:
    statuses = {"200": 9, "429": 90, "not sent": 1}
    found = Outcome("encode", 1, 10.0, 10.0, statuses, 0.9, 1.0, 1.0, 1.0, (1.0, 30.0), 0)
    fields: dict[str, object] = {
        "times": 10,
        "capacity": 1.0,
        "outcome": found,
        "memory_before_mb": 400.0,
        "memory_peak_mb": 420.0,
        "recovery_s": 0.5,
    }
    return Overload(**{**fields, **changes})


UNTOLD = Outcome("encode", 1, 10.0, 10.0, {"200": 9, "429": 90}, 0.9, 1.0, 1.0, 1.0, (1.0, 30.0), 4)
TOO_SLOW = Outcome("encode", 1, 10.0, 10.0, {"200": 9, "503": 2}, 0.9, 1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"outcome": LOST}, "no answer: 1"),
        ({"outcome": TOO_SLOW}, "503: 2"),
        ({"outcome": UNTOLD}, "4 refusals did not say"),
        ({"capacity": 3.0}, "0.30 of the pictures"),
        ({"memory_peak_mb": 700.0}, "memory grew by 300 MB"),
        ({"recovery_s": None}, "did not recover"),
    ],
    ids=["lost", "too slow", "untold", "goodput", "memory", "recovery"],
)
def test_an_overload_that_goes_wrong_says_so(changes: dict[str, object], says: str) -> None:
    assert overloaded().complaints == ()
    assert "come again in 1 to 30 s" in overload_text(overloaded())
    (complaint,) = overloaded(**changes).complaints
    assert says in complaint
    assert f"WRONG: {complaint}" in overload_text(overloaded(**changes))


@pytest.mark.slow
def test_a_server_is_measured(bundle: Path) -> None:
    found = measure_serving(bundle, seconds=0.5, clients=(1, 4))
    assert [(one.kind, one.clients) for one in found.outcomes] == [
        (kind, clients) for kind in ("encode", "kept", "click") for clients in (1, 4)
    ]
    assert all(set(one.statuses) <= {"200"} and one.p50_ms for one in found.outcomes)
    assert set(found.overload.outcome.statuses) <= {"200", "429", "not sent"}
    assert found.overload.outcome.untold == 0
    assert found.overload.recovery_s is not None
    assert "| encode | 4 |" in markdown(found)


@pytest.mark.slow
def test_a_short_soak(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sam_export.benchmarks.soak.CALIBRATION_S", 0.5)
    found = soak(bundle, minutes=0.05)
    assert {"200", "500", "client left"} <= set(found.outcome.statuses)
    assert set(found.outcome.statuses) <= {"200", "429", "500", "client left", "not sent"}
    assert (found.own_faults, found.held, found.outcome.untold) == (0, 0, 0)
    assert found.memory_mb
    assert "| no answer | 0 | 0 |" in soak_markdown(found)
