"""Contestants in processes of their own, timed turn by turn; what cannot take part is told with its reason."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sam_export.benchmarks.contestants import Contestant
from sam_export.benchmarks.rounds import Plan, time_all
from sam_export.benchmarks.run_record import STAGES

from ..runtimes.conftest import bundle, graph_folder, picture, segmenter, sessions

pytestmark = pytest.mark.slow

__all__ = ["bundle", "graph_folder", "picture", "segmenter", "sessions"]


@pytest.fixture
def coreml_bundle(bundle: Path, tmp_path: Path) -> Path:
    """The same files, said to be Core ML's."""
    path = tmp_path / "geometric-coreml-fp32"
    shutil.copytree(bundle, path)
    manifest = json.loads((path / "bundle.json").read_text())
    (path / "bundle.json").write_text(json.dumps({**manifest, "target": "coreml"}))
    return path


def contestant(name: str, path: Path, **fields: Any) -> Contestant:
    return Contestant(name, "bundle", name, 1, path=str(path), asked=True, **fields)


def plan(contestants: tuple[Contestant, ...], picture: np.ndarray, folder: Path, **fields: int) -> Plan:
    np.save(folder / "picture.npy", picture)
    numbers = {"points_per_side": 2, "rounds": 4, "openings": 2, "warmups": 1, **fields}
    return Plan(contestants, STAGES, str(folder / "picture.npy"), **numbers)


def silent(_stage: str, _done: int, _total: int) -> None:
    """No bars."""


def test_every_stage_has_as_many_samples_of_all(bundle: Path, picture: np.ndarray, tmp_path: Path) -> None:
    both = contestant("one", bundle), contestant("other", bundle)
    timings = time_all(plan(both, picture, tmp_path), silent)
    assert timings.absent == ()
    for one in timings.found:
        assert set(one.stages) == {stage.name for stage in STAGES}
        assert {len(samples.seconds) for samples in one.stages.values()} == {4}
        assert {len(samples.warmups) for samples in one.stages.values()} == {1}
        assert len(one.openings) == 2
        assert all(opening.to_first_mask > opening.open_seconds > 0 for opening in one.openings)
        assert all(opening.start_seconds > 0 for opening in one.openings)
        assert one.engines["mask_decoder"].threads == 1


@pytest.mark.parametrize(
    ("fields", "said"),
    [({"compute_precision": "bf16"}, "computes in fp32"), ({"compiled": True, "kind": "peer"}, "graphs.json")],
    ids=["a precision that the engine has not", "a peer without graphs"],
)
def test_one_that_cannot_be_opened_is_told(
    fields: dict[str, object], said: str, bundle: Path, picture: np.ndarray, tmp_path: Path
) -> None:
    import msgspec

    bad = msgspec.structs.replace(contestant("bad", bundle), **fields)
    timings = time_all(plan((bad, contestant("good", bundle)), picture, tmp_path), silent)
    assert [one.contestant.name for one in timings.found] == ["good"]
    assert [one.name for one in timings.absent] == ["bad"]
    assert said in timings.absent[0].reason


def test_another_machines_target_is_told(coreml_bundle: Path, picture: np.ndarray, tmp_path: Path) -> None:
    timings = time_all(plan((contestant("theirs", coreml_bundle, takes_threads=False),), picture, tmp_path), silent)
    assert timings.found == ()
    assert "macOS" in timings.absent[0].reason
    assert timings.absent[0].asked


def test_a_picture_that_cannot_be_read_ends_the_process_and_not_the_run(
    bundle: Path, picture: np.ndarray, tmp_path: Path
) -> None:
    asked = plan((contestant("one", bundle),), picture, tmp_path)
    Path(asked.picture).unlink()
    timings = time_all(asked, silent)
    assert "its process ended with status 1" in timings.absent[0].reason
    assert "No such file" in timings.absent[0].reason
