"""Exporting in a process of its own, while this one measures what is exported already.

Converters are Python that keeps one core busy. In a thread they would hold up each operation of the gate, which has to
ask for the interpreter between two of them; and coremltools and warnings have state that threads would share.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from .contract import Graph
from .errors import ConversionError, OutputError, SamExportError
from .exporters import ExportOptions, export
from .models import Component
from .orphans import end_with_parent

REQUEST = "request.pickle"
# -P: what lies in the working folder is not imported.
PROGRAM = (sys.executable, "-P", "-c", "from sam_export.export_ahead import serve; serve()")


@dataclass(frozen=True)
class ExportTask:
    """One set of graphs to make, each in a float precision, in the order of the parts."""

    target: str
    precisions: tuple[str, ...]

    @property
    def label(self) -> str:
        return f"{self.target} {' '.join(dict.fromkeys(self.precisions))}"


@dataclass(frozen=True)
class Exported:
    """The graphs of a task, and how long they took."""

    graphs: tuple[Graph, ...]
    seconds: float


def export_parts(
    parts: Sequence[Component],
    task: ExportTask,
    options: ExportOptions,
    folder: Path,
    done: Callable[[int], None] | None = None,
) -> Exported:
    """Return the graphs of all parts, in `folder`; `done` is told how many there are, first 0.

    Raises:
        SamExportError: as `exporters.export`.
    """
    report = done or (lambda _: None)
    started = time.perf_counter()
    graphs: list[Graph] = []
    report(0)
    for part, precision in zip(parts, task.precisions, strict=True):
        graphs.append(export(part, task.target, precision, folder, options))
        report(len(graphs))
    return Exported(tuple(graphs), time.perf_counter() - started)


class ExportAhead:
    """Exports the parts for each task, in order. The process runs from entering to leaving a `with`.

    Leaving it removes the graphs and whatever a converter left in its temporary folder, finished or not.
    """

    def __init__(self, parts: tuple[Component, ...], tasks: tuple[ExportTask, ...], options: ExportOptions) -> None:
        self.tasks = tasks
        self._request = (parts, tasks, options)
        self._answers: dict[ExportTask, Exported | SamExportError | str] = {}

    def __enter__(self) -> ExportAhead:
        """Raises OutputError if there is no room for a temporary folder."""
        try:
            self._folder = _folder_with(pickle.dumps(self._request))
        except OSError as exc:
            raise OutputError(f"no temporary folder ({exc.strerror or exc}); free space or set TMPDIR") from exc
        paths = os.pathsep.join(path for path in sys.path if path)
        # One thread: the other cores measure.
        own = {"TMPDIR": self._folder.name, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            PROGRAM, env={**os.environ, **own}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()

    def result(self, task: ExportTask) -> Exported:
        """Return the graphs of one of the tasks as soon as there are.

        Raises:
            SamExportError: as `exporters.export`; ConversionError also if the process ended without an answer.
            RuntimeError: a bug of our own, with the traceback of that process.
        """
        while task not in self._answers:
            self._answers.update([self._next(task)])
        answer = self._answers[task]
        if isinstance(answer, SamExportError):
            raise answer
        if isinstance(answer, str):
            raise RuntimeError(answer)
        return answer

    def _next(self, task: ExportTask) -> tuple[ExportTask, Exported | SamExportError | str]:
        assert self._process.stdout is not None
        try:
            answer: tuple[ExportTask, Exported | SamExportError | str] = pickle.load(self._process.stdout)  # noqa: S301  # of a process of ours
        except (EOFError, pickle.UnpicklingError) as exc:
            raise ConversionError(
                f"{task.label}: the exporting process ended with status {self._process.wait()}, "
                "before it had the graphs; free memory, or set OMP_NUM_THREADS=1 to export in the process that measures"
            ) from exc
        return answer


def _folder_with(request: bytes) -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory(prefix="sam-export-")
    try:
        (Path(folder.name) / REQUEST).write_bytes(request)
    except OSError:
        folder.cleanup()
        raise
    return folder


def serve() -> None:
    """Answer the request in TMPDIR; what the process of an `ExportAhead` runs.

    Answers go to stdout; what anything else prints there goes to stderr.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started this process ends it
    end_with_parent()
    folder = Path(tempfile.gettempdir())
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        parts, tasks, options = pickle.loads((folder / REQUEST).read_bytes())  # noqa: S301  # in a folder of ours
        for task in tasks:
            answer = _answer(parts, task, options, folder / task.label.replace(" ", "-"))
            pickle.dump((task, answer), answers)
            answers.flush()


def _answer(
    parts: tuple[Component, ...], task: ExportTask, options: ExportOptions, folder: Path
) -> Exported | SamExportError | str:
    try:
        return export_parts(parts, task, options, folder)
    except SamExportError as exc:
        return exc
    except Exception:  # a bug: it shall stop the process that waits, with all that is known of it
        return traceback.format_exc()
