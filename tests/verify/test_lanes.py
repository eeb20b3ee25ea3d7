"""Several pictures at a time: in order, really at once, no session in two threads, and no wrong one goes unnoticed."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch

from sam_export.contract import Array, EngineReport, Session
from sam_export.exporters import export
from sam_export.models import SamModel, components
from sam_export.verification import Failed, Passed
from sam_export.verify.evaluators import EncodedOnce, evaluation_session
from sam_export.verify.gate import Sessions, verify
from sam_export.verify.lanes import SessionPool, in_lanes, lanes_here, lanes_of, threads_of_lane
from sam_export.verify.limits import limits_for
from sam_export.verify.pictures import picture_set
from sam_export.verify.suite import Suite, build_suite
from sam_export.verify.torch_session import torch_sessions

from .test_gate import WRONG_OUTPUTS
from .wrong_session import WrongSession

FP32 = limits_for("fp32")
PATIENCE_S = 60


@pytest.fixture(scope="module")
def suite(tiny_sam: SamModel) -> Suite:
    return build_suite(tiny_sam, picture_set("gate")[3:7])


@pytest.fixture
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def pooled(first: Sessions, second: Sessions) -> Sessions:
    return {name: SessionPool([first[name], second[name]]) for name in first}


@pytest.mark.parametrize("lanes", [1, 2, 5])
def test_results_are_in_order_and_counted(lanes: int) -> None:
    counts: list[int] = []
    assert in_lanes(lambda item: item * item, range(7), lanes, counts.append) == [0, 1, 4, 9, 16, 25, 36]
    assert counts == list(range(8))


def test_lanes_run_at_once() -> None:
    both = threading.Barrier(2)
    assert sorted(in_lanes(lambda _: both.wait(PATIENCE_S), range(2), 2)) == [0, 1]


def test_an_exception_stops_what_has_not_begun() -> None:
    begun: list[int] = []

    def work(item: int) -> None:
        begun.append(item)
        raise ValueError(item)

    with pytest.raises(ValueError, match="0"):
        in_lanes(work, range(100), 2)
    assert len(begun) < 100


@pytest.mark.usefixtures("four_threads")
def test_lanes_share_torchs_threads() -> None:
    assert lanes_here() == 4
    assert threads_of_lane(2) == 2
    assert in_lanes(lambda _: torch.get_num_threads(), range(4), 2) == [2, 2, 2, 2]
    assert torch.get_num_threads() == 4


class OneAtATime:
    """A session that tells if a second thread runs it while the first has not left."""

    def __init__(self, session: Session) -> None:
        self._session, self._entered = session, threading.Lock()

    @property
    def report(self) -> EngineReport:
        return self._session.report

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        assert self._entered.acquire(blocking=False), "two threads in one session"
        try:
            return self._session.run(feeds)
        finally:
            self._entered.release()


def test_lanes_change_no_score(tiny_sam: SamModel, suite: Suite) -> None:
    sessions = torch_sessions(tiny_sam)
    alone = verify(sessions, suite, FP32, evaluated_by="torch")
    guarded = [{name: OneAtATime(session) for name, session in sessions.items()} for _ in range(2)]
    together = verify(pooled(*guarded), suite, FP32, evaluated_by="torch")
    assert isinstance(alone, Passed)
    assert isinstance(together, Passed)
    assert [(score.picture, score.prompt, score.mask_iou) for score in together.measurement.prompts] == [
        (score.picture, score.prompt, score.mask_iou) for score in alone.measurement.prompts
    ]
    assert [score.picture for score in together.measurement.tensors] == [
        score.picture for score in alone.measurement.tensors
    ]


@pytest.mark.parametrize("name", ["zeros", "one nan", "masks in another order", "first prompt for all"])
def test_one_wrong_lane_fails(tiny_sam: SamModel, suite: Suite, name: str) -> None:
    right, wrong = torch_sessions(tiny_sam), torch_sessions(tiny_sam)
    wrong["mask_decoder"] = WrongSession(wrong["mask_decoder"], outputs=WRONG_OUTPUTS[name])
    assert isinstance(verify(pooled(right, wrong), suite, FP32, evaluated_by="torch"), Failed)


def test_an_error_in_a_lane_is_raised(tiny_sam: SamModel, suite: Suite) -> None:
    class Broken(OneAtATime):
        def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
            raise KeyboardInterrupt

    sessions = torch_sessions(tiny_sam)
    broken = {name: Broken(session) for name, session in sessions.items()}
    with pytest.raises(KeyboardInterrupt):
        verify(pooled(broken, broken), suite, FP32, evaluated_by="torch")


def test_an_engine_that_does_not_say_gets_one_lane(tiny_sam: SamModel) -> None:
    plain = torch_sessions(tiny_sam)
    pool = pooled(plain, plain)
    assert lanes_of(pool.values()) == 2
    assert lanes_of([EncodedOnce(pool["image_encoder"]), pool["mask_decoder"]]) == 2
    assert lanes_of([pool["image_encoder"], plain["mask_decoder"]]) == 1


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize("target", ["onnx", "openvino"])
def test_engines_share_the_threads(tiny_sam: SamModel, tmp_path: Path, target: str) -> None:
    graph = export(components(tiny_sam)[1], target, "fp32", tmp_path)
    session, _ = evaluation_session(graph, lanes=2)
    assert lanes_of([session]) == 2
    assert session.report.threads == 2
    assert session.report.options["lanes"] == "2"


FIRST_RUNS = """
import sys, threading
from pathlib import Path
import numpy as np
import openvino
from openvino import opset13
from sam_export.contract import EngineOptions, GraphContract, TensorSpec
from sam_export.runtimes.openvino_engine import OpenVinoSession

path = Path(sys.argv[1]) / "relu.xml"
x = opset13.parameter([1, 64], np.float32, name="x")
y = opset13.relu(x)
x.output(0).set_names({"x"}), y.output(0).set_names({"y"})
openvino.save_model(openvino.Model([y], [x]), path, compress_to_fp16=False)
tensors = [TensorSpec(name, (1, 64), "float32", name) for name in "xy"]
contract = GraphContract("image_encoder", (tensors[0],), (tensors[1],))
sessions = [OpenVinoSession(path, contract, EngineOptions(threads=1)) for _ in range(2)]
together = threading.Barrier(2)

def run(session):
    together.wait()
    session.run({"x": np.zeros((1, 64), np.float32)})

threads = [threading.Thread(target=run, args=[session]) for session in sessions]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""


@pytest.mark.slow
def test_first_runs_of_two_openvino_sessions_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """openvino 2026.4 hangs about every second time unless the engine prevents it."""
    for _ in range(4):
        subprocess.run([sys.executable, "-c", FIRST_RUNS, str(tmp_path)], timeout=PATIENCE_S, check=True)
