"""A run over real processes and engines on the tiny model; what is made of its record; requests that are refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from sam_export.benchmarks.bench import BenchRequest, run_bench
from sam_export.benchmarks.bench_files import write_run
from sam_export.benchmarks.claims import claim
from sam_export.benchmarks.compare_runs import compared
from sam_export.benchmarks.lineup_names import EAGER
from sam_export.benchmarks.machine import Disturbance
from sam_export.benchmarks.markdown import markdown
from sam_export.benchmarks.run_record import Entry, Run, encode_run, read_run
from sam_export.benchmarks.scores import UNTRAINED
from sam_export.benchmarks.tables import summary
from sam_export.cli import main
from sam_export.errors import RequestError
from sam_export.models import untrained

from ..runtimes.conftest import bundle, graph_folder, picture, segmenter, sessions
from ..web.tiny_bundle import write_tiny_bundle
from .run_samples import sample_run

__all__ = ["bundle", "graph_folder", "picture", "segmenter", "sessions"]


def silent(_stage: str, _done: int, _total: int) -> None:
    """No bars."""


def test_a_run_of_the_sample_says_everything() -> None:
    run = sample_run()
    text = markdown(run)
    for entry in run.entries:
        assert f"`{entry.name}`" in text
    assert "`lite_medsam-coreml-fp16`: not measured: macOS alone" in text
    assert "intra_op_num_threads=2" in text
    assert "0.42x" in text
    assert "| int8 | 1 | click | 6 | 5 - 6 | 0.50x |" in text
    assert "not measured: lite_medsam-coreml-fp16" in summary(run)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    run = sample_run()
    (tmp_path / "bench.json").write_bytes(encode_run(run))
    assert read_run(tmp_path / "bench.json") == run


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"{", "not a run"), (b"[]", "schema None"), (b'{"schema": 99}', "schema 99"), (b'{"schema": 1}', "not a run")],
    ids=["cut short", "a list", "another version", "empty"],
)
def test_what_is_no_record_is_refused(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "bench.json").write_bytes(content)
    with pytest.raises(RequestError, match=said):
        read_run(tmp_path / "bench.json")


def test_a_missing_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="cannot be read"):
        read_run(tmp_path / "none.json")


def test_a_claim_is_of_rounds_and_widens_under_load() -> None:
    run = sample_run()
    entry = run.entries[-1]
    quiet = claim(run, entry, "encoder")
    loaded = claim(dataclasses.replace(run, disturbance=Disturbance(0.4, 3.0)), entry, "encoder")
    assert quiet is not None
    assert loaded is not None
    assert quiet.ratio == loaded.ratio
    assert quiet.ratio_interval is not None
    assert loaded.ratio_interval is not None
    assert loaded.ratio_interval[0] < quiet.ratio_interval[0]
    assert loaded.ratio_interval[1] > quiet.ratio_interval[1]
    assert "under load" in markdown(dataclasses.replace(run, disturbance=Disturbance(0.4, 3.0)))


def test_runs_of_one_machine_are_compared() -> None:
    run = sample_run()
    text = compared([(Path("a.json"), run), (Path("b.json"), run)])
    assert text.count(" 0.42x ") == 2 * len(run.stages)
    assert "not equally fast" not in text


def test_a_slower_machine_is_noticed() -> None:
    run = sample_run()
    assert "not equally fast" in compared([(Path("a.json"), run), (Path("b.json"), slower(run))])


def slower(run: Run) -> Run:
    def half_as_fast(entry: Entry) -> Entry:
        stages = {
            name: dataclasses.replace(one, seconds=tuple(2 * value for value in one.seconds))
            for name, one in entry.stages.items()
        }
        return dataclasses.replace(entry, stages=stages)

    return dataclasses.replace(run, entries=tuple(half_as_fast(entry) for entry in run.entries))


@pytest.mark.parametrize(
    "change",
    [
        {"machine": {"processor": "another"}},
        {"machine": {"cores": 64}},
        {"request": {"threads": 8}},
        {"checkpoint_sha256": "1" * 64},
    ],
    ids=["processor", "cores", "threads", "weights"],
)
def test_runs_of_different_conditions_are_not_compared(change: dict[str, object]) -> None:
    run = sample_run()
    fields = {
        name: dataclasses.replace(getattr(run, name), **value) if isinstance(value, dict) else value
        for name, value in change.items()
    }
    with pytest.raises(RequestError, match="are not compared"):
        compared([(Path("a.json"), run), (Path("b.json"), dataclasses.replace(run, **fields))])


def test_one_run_is_no_comparison() -> None:
    with pytest.raises(RequestError, match="give two or more"):
        compared([(Path("a.json"), sample_run())])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["bench"], "no bundle given"),
        (["bench", "BUNDLE", "--rounds", "0"], "--rounds 0: give 3 to"),
        (["bench", "BUNDLE", "--rounds", "-3"], "--rounds -3: give 3 to"),
        (["bench", "BUNDLE", "--threads", "0"], "threads 0"),
        (["bench", "BUNDLE", "--peers", "nobody"], "'nobody' is no peer; there are: plain"),
        (["bench", "BUNDLE", "BUNDLE"], "given twice"),
        (["bench", "BUNDLE", "--compare", "a.json"], "measures nothing"),
        (["bench", "BUNDLE", "-o", "BUNDLE/bundle.json"], "is a file"),
        (["bench", "nowhere"], "not a bundle"),
    ],
    ids=["nothing", "no rounds", "fewer", "no threads", "peer", "twice", "both", "a file", "no bundle"],
)
def test_a_bad_request_is_answered_at_once(
    words: list[str], said: str, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([word.replace("BUNDLE", str(bundle)) for word in words]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_a_run(picture: np.ndarray, tmp_path: Path) -> None:
    """The baseline, PyTorch and a bundle of random weights; what runs nowhere here is told, and does not end it."""
    made = random_bundle(picture, tmp_path)
    request = BenchRequest((made,), threads=1, rounds=3, quick=True, folder=tmp_path / "peers")
    run = run_bench(request, silent)
    assert [entry.name for entry in run.entries] == ["plain", EAGER, made.name]
    for entry in run.entries:
        assert set(entry.stages) == {stage.name for stage in run.stages}
        assert all((len(one.seconds), len(one.warmups)) == (3, 1) for one in entry.stages.values())
        assert all(report.threads == 1 for report in entry.engines.values())
        assert 10**8 < entry.openings[-1].peak_bytes <= entry.peak_bytes
        assert (entry.scores, entry.scores_note) == (None, UNTRAINED)
    size = run.entries[0].size
    assert size is not None
    assert size.wire_bytes is not None
    assert 10**7 < size.wire_bytes < size.disk_bytes
    for path in write_run(run, tmp_path / "out"):
        assert path.stat().st_size > 500
    assert read_run(tmp_path / "out" / "bench.json") == run


def random_bundle(picture: np.ndarray, folder: Path) -> Path:
    made = write_tiny_bundle(untrained("lite_medsam-128px"), picture, folder / "work", folder / "dist")
    manifest = json.loads((made / "bundle.json").read_text())
    manifest["model"]["seed"] = 0
    (made / "bundle.json").write_text(json.dumps(manifest))
    return made
