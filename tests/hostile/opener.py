"""A process that opens and runs hostile graphs, one after the other, and may not survive them."""

from __future__ import annotations

import json
import os
import resource
import select
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ..runtimes import geometric_model as model
from .limits import SECONDS

CONTRACTS = {"image_encoder": model.ENCODER_CONTRACT, "mask_decoder": model.DECODER_CONTRACT}
# Of the process. A graph of plain ops may ask for any amount; what counts is that its failing is told as ours.
MOST_BYTES = 4 * 2**30
# By the clock, on a machine with other work; the first answer waits for torch and coremltools. What a graph may take
# is counted in processor time.
PATIENCE_SECONDS = 120.0
# The tests' folder is on no path; it comes last, for the sam_export beside it must not hide the installed one.
START = "import sys; sys.path.append(sys.argv[1]); from tests.hostile.opener import main; main()"
TESTS_PARENT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Outcome:
    """`what`: ran, or the name of the error. `seconds`: of the processor."""

    what: str
    text: str
    seconds: float


class Opener:
    """Asks the process about one graph at a time, and starts another when it ended.

    What it saw is in `counts`; a graph that ended the process, or took too long, is an AssertionError. Memory is the
    process's limit, and no number of a graph: what one took stays with the process for those that follow.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._process: subprocess.Popen[str] | None = None

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def require_own_error(self, target: str, component: str, path: Path) -> None:
        """Fail unless the graph runs, or is refused by an error of the project's own in one line."""
        outcome = self._ask(target, component, path)
        self.counts[outcome.what] += 1
        assert outcome.what == "ran" or outcome.what.startswith("own "), f"{outcome.what}: {outcome.text}"
        assert "\n" not in outcome.text
        assert outcome.seconds < SECONDS, f"{outcome.seconds:.1f} s"

    def _ask(self, target: str, component: str, path: Path) -> Outcome:
        process = self._running()
        assert process.stdin is not None
        process.stdin.write(json.dumps([target, component, str(path)]) + "\n")
        process.stdin.flush()
        line = self._answer(process)
        return Outcome(**json.loads(line)) if line else Outcome(f"process ended ({process.wait()})", str(path), 0)

    def _answer(self, process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], PATIENCE_SECONDS)
        if not ready:
            process.kill()
        return process.stdout.readline()

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = subprocess.Popen(
                [sys.executable, "-c", START, str(TESTS_PARENT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        return self._process


def main() -> None:
    """Answer on stdout alone what engines would also write to."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    answer_all(sys.stdin, answers)


def answer_all(questions: IO[str], answers: IO[str]) -> None:
    """Answer each line on stdin with one on stdout."""
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_BYTES, MOST_BYTES))
    for line in questions:
        target, component, path = json.loads(line)
        started = time.process_time()
        what, text = opened(target, component, Path(path))
        outcome = {"what": what, "text": text, "seconds": time.process_time() - started}
        answers.write(json.dumps(outcome) + "\n")
        answers.flush()


def opened(target: str, component: str, path: Path) -> tuple[str, str]:
    """Open a graph and run it once."""
    import numpy as np

    from sam_export.contract import EngineOptions, Recipe, Session
    from sam_export.errors import SamExportError
    from sam_export.runtimes import open_session

    contract, sizes = CONTRACTS[component], {"B": 1, "N": 2}
    feeds: Mapping[str, np.ndarray] = {
        spec.name: np.ones([sizes.get(axis, axis) for axis in spec.shape], np.float32) for spec in contract.inputs
    }
    try:
        if target == "coreml":
            from sam_export.verify.mil.session import MilSession

            session: Session = MilSession(path, contract)
        else:
            session = open_session(path, contract, target, Recipe("fp32", "fp32", "fp32"), EngineOptions(threads=1))
        session.run(feeds)
    except SamExportError as exc:
        return f"own {type(exc).__name__}", str(exc)
    except Exception as exc:
        return type(exc).__name__, str(exc)
    return "ran", ""
