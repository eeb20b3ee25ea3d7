"""A worker as its starter sees it: started, asked one thing at a time, and ended."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TypeVar

import msgspec

from ..errors import ConversionError, UnsupportedError
from .worker import Ready, Timed, WorkerRequest

MODULE = "sam_export.benchmarks.worker"
Answer = TypeVar("Answer", Ready, Timed)


class Worker:
    """A contestant in a process of its own."""

    def __init__(self, request: WorkerRequest, process: subprocess.Popen[str], complaints: IO[bytes]) -> None:
        self.name = request.contestant.name
        self._process, self._complaints = process, complaints
        self.ready = self._answer(Ready)
        if self.ready.error is not None:
            raise UnsupportedError(self.ready.error)

    def time(self, stage: str) -> Timed:
        """Return what one call of a stage took.

        Raises:
            ConversionError: the process ended, or the call failed.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{stage}\n")
            self._process.stdin.flush()
        except BrokenPipeError as exc:
            raise self._ended() from exc
        answer = self._answer(Timed)
        if answer.error is not None:
            raise ConversionError(f"{self.name}: {answer.error}")
        return answer

    def _answer(self, kind: type[Answer]) -> Answer:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._ended()
        return msgspec.json.decode(line, type=kind)

    def _ended(self) -> ConversionError:
        status = self._process.wait()
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").strip().splitlines() or ["it said nothing"]
        return ConversionError(f"{self.name}: its process ended with status {status}: {lines[-1][:300]}")


@contextlib.contextmanager
def started(request: WorkerRequest) -> Iterator[Worker]:
    """Yield a worker that has given its first mask; its process ends with the block.

    Raises:
        UnsupportedError: this machine cannot run the contestant; the text says why.
        ConversionError: the process ended by itself.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sam-export-")))
        complaints = stack.enter_context(tempfile.TemporaryFile())
        process = stack.enter_context(_process(request, folder, complaints))
        stack.callback(process.kill)
        yield Worker(request, process, complaints)


def _process(request: WorkerRequest, folder: Path, complaints: IO[bytes]) -> subprocess.Popen[str]:
    """Start it. What `torch.compile` makes goes into its folder, so that every run compiles anew."""
    own = {
        "OMP_NUM_THREADS": str(request.contestant.threads),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"),
        "TORCHINDUCTOR_FREEZING": "1",
    }
    said = msgspec.structs.replace(request, spawned_at=time.time())
    (folder / "request.json").write_bytes(msgspec.json.encode(said))
    return subprocess.Popen(
        [sys.executable, "-P", "-m", MODULE, str(folder / "request.json")],
        env={**os.environ, **own},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=complaints,
        text=True,
    )
