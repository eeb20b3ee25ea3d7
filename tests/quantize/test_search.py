"""The search: what it tries in which order, what it keeps of it, and which try it chooses.

Scores are read from a table instead of an engine; the plans, and the components that are made of them, are real ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import torch

from sam_export.contract import EngineReport
from sam_export.errors import NotVerifiableError
from sam_export.exporters import ExportOptions
from sam_export.models import Component, SamModel, components
from sam_export.quantize import search
from sam_export.quantize.calibration import Calibration
from sam_export.quantize.layers import GroupedLayer
from sam_export.quantize.levels import left_out
from sam_export.quantize.plan import ComponentPlan, LayerPlan
from sam_export.quantize.quantizer import Quantizer
from sam_export.quantize.search import Search
from sam_export.quantize.trial import Noise, Score
from sam_export.quantize.tries import LEAST_LATENCY, MARGIN, SearchState, Try, by_worth, choose, passes
from sam_export.runtimes.machine import this_machine
from sam_export.verification import Limits
from sam_export.verify.pictures import picture_set

# With the margin, whatever it is: 0.99 and 0.95.
LIMITS = Limits(mean_iou=1 - 0.01 / (1 - MARGIN), worst_iou=1 - 0.05 / (1 - MARGIN), logit_snr_db=10.0)
BLOCK = "encoder.layers.1.blocks.0."
GROUP = "encoder.layers.1.blocks.*."
Q, K, V, PROJ, FC1, FC2 = LEAVES = ("attn.q", "attn.k", "attn.v", "attn.proj", "mlp.fc1", "mlp.fc2")
START = ComponentPlan(
    layers=(LayerPlan("encoder.neck.neck_0", "int8"), *(LayerPlan(BLOCK + leaf, "int8", "uint8") for leaf in LEAVES))
)

# By group: mean mask IoU that its input in 8 bits costs, and time that it saves, as a share of the float graph's.
Table = dict[str, tuple[float, float]]
HARMLESS: Table = dict.fromkeys(LEAVES, (0.001, 0.05))
# 0.037 lost, 0.01 allowed. FC1 is left out first, then FC2, which is enough and both of them are needed.
TWO_NEEDED: Table = {
    Q: (0.0, 0.03),
    K: (0.001, 0.02),
    V: (0.002, 0.02),
    PROJ: (0.004, 0.04),
    FC1: (0.02, 0.05),
    FC2: (0.01, 0.05),
}
# PROJ is worth most by its time, and turns out not to be needed beside FC1.
ONE_IN_VAIN: Table = {
    Q: (0.0, 0.03),
    K: (0.001, 0.02),
    V: (0.001, 0.02),
    PROJ: (0.0065, 0.001),
    FC1: (0.03, 0.1),
    FC2: (0.001, 0.05),
}
# PROJ, FC1 and FC2 are left out; then either of the first two can go back, but not both.
EITHER: Table = {
    Q: (0.001, 0.05),
    K: (0.0, 0.05),
    V: (0.0, 0.05),
    PROJ: (0.006, 0.02),
    FC1: (0.006, 0.03),
    FC2: (0.02, 0.2),
}
# Whatever is left out, too much is lost.
HOPELESS: Table = {**dict.fromkeys(LEAVES, (0.2, 0.05)), "": (0.5, 0.0)}


def groups(*leaves: str) -> tuple[str, ...]:
    return tuple(GROUP + leaf for leaf in leaves)


ENGINE = EngineReport("onnxruntime", "1.31.1", "CPUExecutionProvider", "fp32", 2, {"graph": "all"})


def opened_otherwise(bench: TableBench, **changes: Any) -> dict[str, Any]:
    bench.baseline.report = dataclasses.replace(ENGINE, **changes)
    return {}


class Stopped(Exception):
    """What stops a search in the middle."""


class TableBench:
    """Knows a candidate by the layers that round their inputs; counts, and checks the state file, at each measurement.

    `stop_at`: which measurement raises instead.
    """

    target, component = "onnx", "image_encoder"

    def __init__(self, table: Table, state_file: Path | None = None, stop_at: int | None = None) -> None:
        self.suite = SimpleNamespace(sha256="0" * 64)
        self.options, self.baseline = ExportOptions(), SimpleNamespace(report=ENGINE)
        self.table, self.state_file, self.stop_at = table, state_file, stop_at
        self.scored: list[tuple[str, ...]] = []
        self.weighed: list[tuple[str, ...]] = []
        self.recipes: list[Any] = []

    @property
    def count(self) -> int:
        return len(self.scored) + len(self.weighed)

    def score(self, candidate: Component) -> Score:
        lost, latency = self._measure(candidate)
        self.scored.append(self._left_out(candidate))
        return Score(1 - lost, 1 - 2 * lost, 1 - 3 * lost, 1 - 4 * lost, latency, int(1e6 * latency))

    def worth(self, candidate: Component) -> Noise:
        found = Noise(*self._measure(candidate))
        self.weighed.append(self._left_out(candidate))
        return found

    def _measure(self, candidate: Component) -> tuple[float, float]:
        if self.stop_at == self.count:
            raise Stopped
        self.recipes.append(candidate.recipe)
        rounded = [row for leaf, row in self.table.items() if leaf not in self._left_out(candidate)]
        return sum(lost for lost, _ in rounded), 1 - sum(saved for _, saved in rounded)

    def _left_out(self, candidate: Component) -> tuple[str, ...]:
        layers = {leaf: candidate.module.get_submodule(BLOCK + leaf) for leaf in LEAVES}
        rounding = {leaf for leaf, layer in layers.items() if getattr(layer, "round_input", None) is not None}
        return tuple(leaf for leaf in LEAVES if leaf not in rounding)


@pytest.fixture(scope="module")
def quantizer(tiny_sam: SamModel) -> Quantizer:
    return Quantizer(components(tiny_sam)[0], Calibration(tiny_sam, picture_set("calibration")[:1]))


def no_gradients() -> dict[str, Any]:
    """Without gradients no layer is expected to do harm: groups are tried in the order of the model."""
    return {}


def forbidden() -> dict[str, Any]:
    raise AssertionError("gradients were asked for")


@pytest.fixture
def make(quantizer: Quantizer) -> Callable[..., Search]:
    def made(bench: Any, **changes: Any) -> Search:
        given = {"gradients": no_gradients, "start": START, "precision": "int8", "limits": LIMITS, **changes}
        return Search(quantizer=quantizer, bench=bench, **given)

    return made


def tried(state: SearchState) -> list[tuple[str, ...]]:
    return [one.without for one in state.tries]


def test_a_start_that_passes_is_the_only_try(make: Callable[..., Search]) -> None:
    bench = TableBench(HARMLESS)
    state = make(bench, gradients=forbidden).run()
    assert tried(state) == [()]
    assert (bench.scored, bench.weighed) == ([()], [])
    assert (state.harm, state.alone) == ({}, {})
    assert state.tries[0].plan == START
    assert choose(state, LIMITS, "speed", "x") == state.tries[0]


def test_groups_are_left_out_by_worth_until_a_try_passes(make: Callable[..., Search]) -> None:
    state = make(bench := TableBench(TWO_NEEDED)).run()
    assert set(state.alone) == {"", *groups(*LEAVES)} == {"", *state.harm}
    assert by_worth(state)[:2] == groups(FC1, FC2)
    # Then each of the two goes back by itself; without the second is known.
    assert tried(state) == [(), groups(FC1), groups(FC1, FC2), groups(FC2)]
    assert bench.scored == [(), (FC1,), (FC1, FC2), (FC2,)]
    assert choose(state, LIMITS, "speed", "x").without == groups(FC1, FC2)


def test_groups_that_are_not_needed_go_back(make: Callable[..., Search]) -> None:
    state = make(TableBench(ONE_IN_VAIN)).run()
    assert by_worth(state)[:2] == groups(PROJ, FC1)
    assert tried(state) == [(), groups(PROJ), groups(PROJ, FC1), groups(FC1)]
    chosen = choose(state, LIMITS, "speed", "x")
    assert chosen.without == groups(FC1)
    assert chosen.score.latency < state.tries[2].score.latency


def test_what_costs_most_time_goes_back_first(make: Callable[..., Search]) -> None:
    bench = TableBench(EITHER)
    state = make(bench).run()
    assert bench.scored[3:] == [(Q, PROJ, FC1, FC2), (PROJ, FC1, FC2), (PROJ, FC2), (FC2,)]
    assert choose(state, LIMITS, "speed", "x").without == groups(PROJ, FC2)


def test_the_frontier_doubles_and_halves_back(make: Callable[..., Search]) -> None:
    """The first three of six groups have to go."""
    table = {Q: (0.1, 0.05), K: (0.09, 0.05), V: (0.08, 0.05), PROJ: (0.002, 0.05), FC1: (0.002, 0.05), FC2: (0.0, 0.1)}
    bench = TableBench(table)
    make(bench).run()
    assert bench.scored[:5] == [(), (Q,), (Q, K), (Q, K, V, PROJ), (Q, K, V)]


def test_the_engine_gets_the_recipe_of_the_very_plan(make: Callable[..., Search]) -> None:
    state = make(bench := TableBench(TWO_NEEDED)).run()
    # All in 8 bits, then each group alone, then the first step of the frontier.
    whole, first = bench.recipes[0], bench.recipes[1 + len(bench.weighed)]
    assert (whole.precision, whole.compute) == ("int8", "fp32")
    (lifted,) = set(first.layers) - set(whole.layers)
    assert lifted.pattern == BLOCK + FC1
    assert lifted.reason == state.tries[1].plan.of(BLOCK + FC1).reason
    assert "mask IoU" in lifted.reason


def test_layers_that_are_left_out_keep_their_weights_unless_they_are_small(quantizer: Quantizer) -> None:
    small, convolution = "encoder.layers.0.downsample.conv2", LayerPlan("encoder.neck.neck_2", "int8", "uint8", "uint8")
    plan = dataclasses.replace(START, layers=(*START.layers, LayerPlan(small, "int8", "uint8"), convolution))
    found = left_out(plan, frozenset({BLOCK + Q, small, convolution.layer}), quantizer.component, "because")
    assert found.of(BLOCK + Q) == LayerPlan(BLOCK + Q, "int8", reason="because")
    assert found.of(convolution.layer) == LayerPlan(convolution.layer, "int8", reason="because")
    assert found.of(small) == LayerPlan(small, "float", reason="because")
    assert found.layers[0] == plan.layers[0]
    assert found.of(BLOCK + K) == plan.of(BLOCK + K)


def test_groups_are_tried_alone_the_most_harmful_first(quantizer: Quantizer, make: Callable[..., Search]) -> None:
    module = quantizer.component.module
    ones = {BLOCK + leaf: torch.ones(len(module.get_submodule(BLOCK + leaf).weight)) for leaf in LEAVES}

    def gradients() -> dict[str, torch.Tensor]:
        return {**ones, BLOCK + V: ones[BLOCK + V] * 1e9, BLOCK + K: ones[BLOCK + K] * 1e8}

    state = make(bench := TableBench(TWO_NEEDED), gradients=gradients).run()
    assert bench.weighed[:3] == [(), (V,), (K,)]
    assert list(state.alone)[:3] == ["", *groups(V, K)]
    assert state.harm[GROUP + V] > state.harm[GROUP + K] > state.harm[GROUP + Q] > 0


def test_a_group_is_split_first_if_that_is_worth_more_by_its_time() -> None:
    """Noise and latency; all in 8 bits: 1 and 0.4."""
    fast = {"split a": Noise(0.5, 0.41), "a": Noise(0.4, 0.5)}
    slow = {"split b": Noise(0.9, 0.45), "b": Noise(0.7, 0.46)}
    state = SearchState("", alone={"": Noise(1.0, 0.4), **fast, **slow, "fp32": Noise(0.85, 0.44)})
    # 25, 5, 3.8 and 1.1 by their time; `split b` brings 2, and the rest of `b` 10.
    assert by_worth(state) == ("split a", "b", "fp32", "a")


def test_groups_that_are_not_expected_to_matter_are_not_weighed(
    quantizer: Quantizer, make: Callable[..., Search]
) -> None:
    module = quantizer.component.module
    ones = {BLOCK + leaf: torch.ones(len(module.get_submodule(BLOCK + leaf).weight)) for leaf in LEAVES}
    make(bench := TableBench(TWO_NEEDED), gradients=lambda: {**ones, BLOCK + V: ones[BLOCK + V] * 1e9}).run()
    assert bench.weighed == [(), (V,)]


def test_accuracy_is_searched_for_beyond_the_first_that_passes(make: Callable[..., Search]) -> None:
    state = make(TableBench(HARMLESS), prefer="accuracy").run()
    # 1, 2, 4 and 5 of six; nothing goes back.
    assert [len(without) for without in tried(state)] == [0, 1, 2, 4, 6]
    assert choose(state, LIMITS, "accuracy", "x") == state.tries[-1]
    assert choose(state, LIMITS, "speed", "x") == state.tries[0]


def of_bits(bits: float) -> ComponentPlan:
    """Four layers that have to be in 8 bits, and two of which ever more are in 4."""
    fewer = sum(bits < limit for limit in (7.5, 6.0))
    kinds = ("int4",) * fewer + ("int8",) * (len(LEAVES) - fewer)
    return ComponentPlan(layers=tuple(LayerPlan(BLOCK + leaf, kind) for leaf, kind in zip(LEAVES, kinds, strict=True)))


class BitsBench(TableBench):
    """Masks suffer with each layer in 4 bits, and the file shrinks."""

    def score(self, candidate: Component) -> Score:
        self.scored.append(())
        fewer = sum(isinstance(module, GroupedLayer) for module in candidate.module.modules())
        lost, rounds_inputs = self.table[""][0] * fewer, bool(self._left_out(candidate) != LEAVES)
        return Score(1 - lost, 1 - lost, 1 - lost, 1 - lost, 0.5 if rounds_inputs else 1.0, 1000 - 100 * fewer)


@pytest.mark.parametrize(("lost", "fewest", "tries"), [(0.001, 2, 4), (0.008, 1, 5), (0.05, 0, 4)])
def test_the_fewest_bits_that_pass_are_come_near_to_by_halves(
    make: Callable[..., Search], tmp_path: Path, lost: float, fewest: int, tries: int
) -> None:
    file = tmp_path / "state.json"
    asked = {"prefer": "size", "allocate": of_bits, "state_file": file}
    state = make(bench := BitsBench({"": (lost, 0.0)}), **asked).run()
    chosen = choose(state, LIMITS, "size", "x")
    assert sum(one.weights == "int4" for one in chosen.plan.layers) == fewest
    assert chosen.score.bytes == 1000 - 100 * fewest
    assert len(state.tries) == len(bench.scored) <= tries
    assert all(one.plan != other.plan for one, other in pairwise(state.tries))
    assert [one.bits is None for one in state.tries] == [True] + [False] * (len(state.tries) - 1)
    again = BitsBench({"": (lost, 0.0)})
    assert make(again, **asked).run() == state
    assert again.scored == []


def test_speed_does_not_care_for_fewer_bits(make: Callable[..., Search], tmp_path: Path) -> None:
    """Nor is it content with them where all 8-bit inputs do not pass."""
    file = tmp_path / "state.json"
    state = make(BitsBench({"": (0.001, 0.0)}), prefer="size", allocate=of_bits, state_file=file).run()
    assert make(bench := TableBench(HARMLESS), state_file=file).run() == state
    assert bench.scored == []
    failing = dataclasses.replace(state.tries[0], score=dataclasses.replace(state.tries[0].score, stable_mean=0.5))
    file.write_bytes(msgspec.json.encode(dataclasses.replace(state, tries=(failing, *state.tries[1:]))))
    later = make(TableBench(TWO_NEEDED), state_file=file).run()
    assert len(later.tries) > len(state.tries)
    assert choose(later, LIMITS, "size", "x").bits is not None


class RangesBench(TableBench):
    """Every next try is more accurate, and seems slower."""

    def score(self, candidate: Component) -> Score:
        found = super().score(candidate)
        count = len(self.scored)
        return dataclasses.replace(found, harsh_mean=0.9 + 0.001 * count, latency=(found.latency or 0) * (1 + count))


@pytest.mark.parametrize(("table", "left"), [(HARMLESS, ()), (TWO_NEEDED, (FC1, FC2))], ids=["start", "levels"])
def test_other_ranges_are_weighed_on_what_would_be_chosen(
    make: Callable[..., Search], tmp_path: Path, table: Table, left: tuple[str, ...]
) -> None:
    file = tmp_path / "state.json"
    asked = {"ranges": ("percentile", "mse"), "state_file": file}
    state = make(RangesBench(table), **asked).run()
    *before, percentile, squares = state.tries
    assert [one.plan.ranges for one in before] == ["minmax"] * len(before)
    assert [percentile.plan.ranges, squares.plan.ranges] == ["percentile", "mse"]
    whole = choose(dataclasses.replace(state, tries=tuple(before)), LIMITS, "speed", "x")
    assert whole.without == percentile.without == squares.without == groups(*left)
    assert whole.score.latency == percentile.score.latency == squares.score.latency
    assert choose(state, LIMITS, "speed", "x") == squares
    assert make(again := RangesBench(table), **asked).run() == state
    assert again.count == 0


def test_ranges_are_not_weighed_where_nothing_has_one(make: Callable[..., Search]) -> None:
    stored = ComponentPlan(layers=tuple(LayerPlan(BLOCK + leaf, "int8") for leaf in LEAVES))
    state = make(TableBench({"": (0.0, 0.0)}), start=stored, ranges=("percentile", "mse")).run()
    assert len(state.tries) == 1
    assert len(make(TableBench(HOPELESS), ranges=("percentile",)).run().tries) == 5


def test_without_any_budget_there_is_one_try(make: Callable[..., Search]) -> None:
    state = make(bench := TableBench(TWO_NEEDED), budget=0.0).run()
    assert tried(state) == [()]
    assert bench.weighed == [()]
    with pytest.raises(NotVerifiableError, match="none of 1 tries passes"):
        choose(state, LIMITS, "speed", "x")


@pytest.mark.parametrize("table", [TWO_NEEDED, EITHER], ids=["two needed", "either"])
@pytest.mark.slow
def test_nothing_is_begun_after_the_budget(
    make: Callable[..., Search], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: Table
) -> None:
    """A clock that counts measurements. The first two are made whatever the budget; more of it goes on from there."""
    whole = TableBench(table)
    expected = make(whole).run()
    for budget in range(whole.count):
        file = tmp_path / f"{budget}.json"
        bench = TableBench(table)
        monkeypatch.setattr(search, "time", SimpleNamespace(monotonic=lambda bench=bench: bench.count))
        make(bench, budget=budget, state_file=file).run()
        assert bench.count == max(budget, 2)
        monkeypatch.undo()
        again = TableBench(table)
        assert make(again, state_file=file).run() == expected
        assert bench.count + again.count == whole.count


def test_a_plan_that_rounds_no_input_has_nothing_to_leave_out(make: Callable[..., Search]) -> None:
    start = ComponentPlan(layers=tuple(LayerPlan(BLOCK + leaf, "int8") for leaf in LEAVES))
    state = make(TableBench({"": (0.5, 0.0)}), start=start).run()
    assert tried(state) == [()]
    assert (state.harm, set(state.alone)) == ({}, {""})


def test_where_nothing_passes_every_step_is_tried_once(make: Callable[..., Search]) -> None:
    state = make(bench := TableBench(HOPELESS)).run()
    assert [len(without) for without in tried(state)] == [0, 1, 2, 4, 6]
    assert len(bench.scored) == len(set(bench.scored))


@pytest.mark.parametrize("table", [TWO_NEEDED, ONE_IN_VAIN, HOPELESS], ids=["two needed", "one in vain", "hopeless"])
@pytest.mark.slow
def test_a_search_that_is_stopped_goes_on_where_it_was(
    make: Callable[..., Search], tmp_path: Path, table: Table
) -> None:
    """Wherever it stops, nothing is measured twice, and the end is the one of a search at one go."""
    whole = TableBench(table)
    expected = make(whole).run()
    for stop_at in range(1, whole.count):
        file = tmp_path / f"{stop_at}.json"
        first, second = TableBench(table, file, stop_at), TableBench(table, file)
        with pytest.raises(Stopped):
            make(first, state_file=file).run()
        assert make(second, state_file=file).run() == expected
        assert first.scored + second.scored == whole.scored
        assert first.weighed + second.weighed == whole.weighed


def test_gradients_are_not_asked_for_again(make: Callable[..., Search], tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    done = make(TableBench(TWO_NEEDED), state_file=file).run()
    bench = TableBench(TWO_NEEDED)
    assert make(bench, state_file=file, gradients=forbidden).run() == done
    assert bench.count == 0


def test_the_state_file_is_whole_after_every_step(make: Callable[..., Search], tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    counts: list[int] = []

    class Reading(TableBench):
        def _measure(self, candidate: Component) -> tuple[float, float]:
            kept = msgspec.json.decode(file.read_bytes(), type=SearchState) if file.exists() else SearchState("")
            counts.append(len(kept.tries) + len(kept.alone))
            return super()._measure(candidate)

    state = make(bench := Reading(TWO_NEEDED), state_file=file).run()
    assert counts == list(range(bench.count))
    assert msgspec.json.decode(file.read_bytes(), type=SearchState) == state
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_a_write_that_was_cut_off_does_no_harm(make: Callable[..., Search], tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    file.with_suffix(".partial").write_bytes(b'{"key": "')
    state = make(TableBench(TWO_NEEDED), state_file=file).run()
    assert msgspec.json.decode(file.read_bytes(), type=SearchState) == state


@pytest.mark.parametrize(
    "change",
    [
        lambda bench: setattr(bench.suite, "sha256", "1" * 64) or {},
        lambda bench: setattr(bench, "target", "openvino") or {},
        lambda bench: setattr(bench, "component", "mask_decoder") or {},
        lambda bench: {"start": dataclasses.replace(START, rounding="gptq")},
        lambda bench: {"start": dataclasses.replace(START, layers=START.layers[1:])},
        lambda bench: opened_otherwise(bench, engine="openvino"),
        lambda bench: opened_otherwise(bench, version="1.31.2"),
        lambda bench: opened_otherwise(bench, device="GPU"),
        lambda bench: opened_otherwise(bench, threads=1),
        lambda bench: opened_otherwise(bench, options={"graph": "basic"}),
        lambda bench: setattr(bench, "options", ExportOptions(minimum_ios=17)) or {},
        lambda bench: {"origin": "another release"},
    ],
    ids=[
        "suite",
        "target",
        "component",
        "rounding",
        "layers",
        "engine",
        "version",
        "device",
        "threads",
        "options of the engine",
        "options of the export",
        "origin",
    ],
)
def test_another_request_starts_anew(
    make: Callable[..., Search], tmp_path: Path, change: Callable[[TableBench], dict[str, Any]]
) -> None:
    file = tmp_path / "state.json"
    before = make(TableBench(HARMLESS), state_file=file).run()
    bench = TableBench(HARMLESS)
    state = make(bench, state_file=file, **change(bench)).run()
    assert bench.scored == [()]
    assert state.key != before.key
    assert msgspec.json.decode(file.read_bytes(), type=SearchState) == state


@pytest.mark.parametrize("changes", [{"processor": "another"}, {"instructions": ()}, {"cores": 999}], ids=str)
def test_another_machine_starts_anew(
    make: Callable[..., Search], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    """A home folder on a network is one for several machines."""
    file = tmp_path / "state.json"
    make(TableBench(HARMLESS), state_file=file).run()
    other = dataclasses.replace(this_machine(), **changes)
    monkeypatch.setattr(search, "this_machine", lambda: other)
    make(bench := TableBench(HARMLESS), state_file=file).run()
    assert bench.scored == [()]


def test_what_changes_no_measurement_does_not_start_anew(make: Callable[..., Search], tmp_path: Path) -> None:
    """Limits and preferences judge what was measured, and are free to change."""
    file = tmp_path / "state.json"
    make(TableBench(TWO_NEEDED), state_file=file).run()
    bench = TableBench(TWO_NEEDED)
    loose = dataclasses.replace(LIMITS, mean_iou=0.9, worst_iou=0.8)
    assert choose(make(bench, state_file=file, limits=loose, prefer="size").run(), loose, "size", "x").without == ()
    assert bench.count == 0


def cut(text: bytes) -> bytes:
    return text[: len(text) // 2]


NESTED = b'{"key": "", "new": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda text: b"", id="empty"),
        pytest.param(cut, id="cut off"),
        pytest.param(lambda text: b"[]", id="list"),
        pytest.param(lambda text: text.replace(b'"stable_mean":', b'"stable_mean":null,"x":'), id="no number"),
        pytest.param(lambda text: text.replace(b'"int8"', b'"int9"'), id="unknown weights"),
        pytest.param(lambda text: text.replace(b'"tries":[', b'"tries":[3,'), id="no try"),
        pytest.param(lambda text: b"\xff\xfe" + text, id="no text"),
        pytest.param(
            lambda text: text.replace(b'"key":"', b'"key":"\xff'),
            id="no UTF-8",
        ),
        pytest.param(
            lambda text: NESTED,
            id="nested",
        ),
    ],
)
def test_a_damaged_state_file_starts_anew(
    make: Callable[..., Search], tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    file = tmp_path / "state.json"
    expected = make(TableBench(TWO_NEEDED), state_file=file).run()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert file.read_bytes() != whole
    bench = TableBench(TWO_NEEDED)
    assert make(bench, state_file=file).run() == expected
    assert bench.scored[0] == ()
    assert file.read_bytes() == whole


def test_progress_names_the_component_and_ends(make: Callable[..., Search]) -> None:
    seen: list[tuple[str, int, int]] = []
    make(TableBench(TWO_NEEDED), progress=lambda *at: seen.append(at)).run()
    assert {stage for stage, _, _ in seen} == {
        f"image_encoder: {stage}" for stage in ("try", "sensitivity", "each group alone")
    }
    assert [done for stage, done, _ in seen if stage.endswith("alone")] == list(range(8))
    assert all(0 <= done <= total for _, done, total in seen)


def score(mean: float = 1.0, worst: float = 1.0, **changes: Any) -> Score:
    return dataclasses.replace(Score(mean, worst, 0.9, 0.8, 0.5, 1000), **changes)


@pytest.mark.parametrize(
    ("mean", "worst", "held"),
    [
        (LIMITS.mean_iou, LIMITS.worst_iou, False),
        (LIMITS.mean_iou, 1.0, False),
        (1.0, LIMITS.worst_iou, False),
        (0.9899, 0.96, False),
        (0.995, 0.9499, False),
        (0.9901, 0.9501, True),
        (float("nan"), 1.0, False),
        (1.0, float("nan"), False),
    ],
    ids=["the gate's limits", "its mean", "its worst", "mean", "worst", "both above", "no mean", "no worst"],
)
def test_a_margin_is_kept_for_pictures_not_seen(mean: float, worst: float, held: bool) -> None:
    assert passes(score(mean, worst), LIMITS) is held


def test_worth_is_noise_that_goes_for_time_that_comes() -> None:
    alone = {
        "": Noise(0.10, 0.40),
        "costly": Noise(0.05, 0.50),  # 0.05 for 0.1
        "cheap": Noise(0.07, 0.43),  # 0.03 for 0.03
        "free": Noise(0.085, 0.38),  # 0.015 for what latencies are not told apart by
        "unclear": Noise(0.094, 0.41),  # 0.006 for the same
        "worse": Noise(0.2, 0.40),
    }
    assert LEAST_LATENCY == 0.02
    assert by_worth(SearchState("", alone=alone)) == ("cheap", "free", "costly", "unclear", "worse")


def test_a_group_that_makes_it_worse_is_worth_nothing_and_not_less() -> None:
    """Else the slower of two of them would come first."""
    alone = {"": Noise(0.1, 0.4), "a": Noise(0.2, 0.4), "b": Noise(0.3, 0.9), "c": Noise(0.1, 0.5)}
    assert by_worth(SearchState("", alone=alone)) == ("a", "b", "c")


TRIES = tuple(
    Try(START, (name,), found)
    for name, found in {
        "fails": score(mean=0.9899, harsh_mean=0.99, latency=0.1, bytes=1),
        "fast": score(harsh_mean=0.91, latency=0.4, bytes=900),
        "small": score(harsh_mean=0.92, latency=0.5, bytes=800),
        "exact": score(harsh_mean=0.97, latency=0.6, bytes=1000),
    }.items()
)


@pytest.mark.parametrize(("prefer", "name"), [("speed", "fast"), ("size", "small"), ("accuracy", "exact")])
def test_the_choice_is_the_best_of_those_that_pass(prefer: Any, name: str) -> None:
    for tries in (TRIES, TRIES[::-1]):
        assert choose(SearchState("", tries=tries), LIMITS, prefer, "x").without == (name,)


def test_where_none_passes_the_text_says_how_near_it_came() -> None:
    tries = tuple(dataclasses.replace(TRIES[0], score=score(mean=mean)) for mean in (0.95, 0.9871, 0.97))
    with pytest.raises(NotVerifiableError) as refused:
        choose(SearchState("", tries=tries), LIMITS, "speed", "tiny_sam onnx int8 image_encoder")
    assert str(refused.value) == (
        "tiny_sam onnx int8 image_encoder: none of 3 tries passes on the search set (best stable mean mask IoU 0.9871, "
        f"wanted {LIMITS.mean_iou:g} with a margin); try --precision w8, or a larger time budget"
    )


def test_a_state_without_tries_has_no_choice() -> None:
    with pytest.raises(NotVerifiableError, match=r"none of 0 tries.*0\.0000"):
        choose(SearchState(""), LIMITS, "speed", "x")
