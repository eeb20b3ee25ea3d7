"""Searching the plan of each component of a job, on the search set and the engine that will run it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from ..contract import ComponentName, Session
from ..errors import NotVerifiableError, OutputError
from ..exporters import export
from ..exporters.tool import tool_version
from ..models import Component
from ..search_record import SearchRecord
from ..staging import remove_leftovers
from ..verify.evaluators import evaluation_session
from ..verify.limits import limits_for
from ..verify.pictures import picture_set
from ..verify.suite import build_suite
from .allocate import allocated
from .describe import share_in_bits
from .plan import ComponentPlan
from .recipes import FLOAT_OF_TARGET, STORED, Allocation, start_plan
from .record import search_record
from .search import Search
from .task import Task, hashes
from .trial import Bench
from .tries import choose

# What a precision promises, in shares of a component's parameters in at most 8 bits.
LEAST_SHARE: Mapping[str, float] = {"int8": 0.9}


def search_plans(
    task: Task, parts: Sequence[Component]
) -> tuple[dict[ComponentName, ComponentPlan], tuple[SearchRecord, ...]]:
    """Search each component beside the float other one, whose session both searches share."""
    plans: dict[ComponentName, ComponentPlan] = {}
    records: list[SearchRecord] = []
    with benches(task) as of_component:
        for part in parts:
            name = part.contract.component
            plans[name], record = _search(task, part, of_component[name])
            records.append(record)
    for name in plans:
        state_file = state_file_of(task, name)
        if state_file is not None:
            state_file.unlink(missing_ok=True)  # done: the next search measures anew
    return plans, tuple(records)


@contextmanager
def benches(task: Task) -> Iterator[Mapping[ComponentName, Bench]]:
    """Yield where tries of each component are measured: on the search set, the other component in float."""
    with float_benches(task, FLOAT_OF_TARGET[task.target]) as of_component:
        yield of_component


@contextmanager
def float_benches(task: Task, floats: str) -> Iterator[Mapping[ComponentName, Bench]]:
    """Yield the same, tries and the other component exported in this float precision."""
    suite = build_suite(task.model, picture_set("search"), progress=task.progress)
    with tempfile.TemporaryDirectory(prefix="sam-export-") as folder:
        sessions = _float_sessions(task, floats, Path(folder))
        yield {
            name: Bench(name, task.target, floats, task.options, suite, session, *_others(sessions, name))
            for name, session in sessions.items()
        }


def _others(floats: Mapping[ComponentName, Session], name: ComponentName) -> list[Session]:
    return [session for other, session in floats.items() if other != name]


def _search(task: Task, part: Component, bench: Bench) -> tuple[ComponentPlan, SearchRecord]:
    name = part.contract.component
    precision, prefer = task.precisions[name], task.request.prefer
    limits, base = limits_for(precision, task.request.min_iou), FLOAT_OF_TARGET[task.target]
    search = Search(
        quantizer=task.quantizer(part),
        gradients=partial(task.gradients, name),
        bench=bench,
        start=start_plan(part, task.target, precision),
        precision=precision,
        limits=limits,
        prefer=prefer,
        state_file=state_file_of(task, name),
        budget=60 * task.request.minutes,
        progress=task.progress,
        origin=" ".join((tool_version(), *hashes(task.pictures))),
        allocate=lambda bits: allocated(task, Allocation(STORED[task.target], bits, base))[name],
        ranges=("percentile", "mse", "mask"),
    )
    state = search.run()
    chosen = choose(state, limits, prefer, f"{task.subject} {name}")
    _require_share(f"{task.subject} {name}", part, precision, chosen.plan)
    return chosen.plan, search_record(name, state, limits, prefer, bench.baseline.report, chosen=chosen)


def _require_share(subject: str, part: Component, precision: str, plan: ComponentPlan) -> None:
    """Raise NotVerifiableError if a plan has fewer weights in 8 bits than its precision promises."""
    share, least = share_in_bits(part, plan, 8), LEAST_SHARE.get(precision, 0.0)
    if share < least:
        raise NotVerifiableError(
            f"{subject}: the best that passes has {share:.0%} of its parameters in at most 8 bits, {precision} "
            f"promises {least:.0%}; take --precision auto, which promises none"
        )


def _float_sessions(task: Task, floats: str, folder: Path) -> dict[ComponentName, Session]:
    graphs = [export(part, task.target, floats, folder, task.options) for part in task.parts]
    return {graph.contract.component: evaluation_session(graph)[0] for graph in graphs}


def state_file_of(task: Task, name: ComponentName) -> Path | None:
    """Return where a search of the component keeps what it measured; None for nowhere."""
    folder = task.request.state_folder
    if folder is None:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder, ".json")
    except OSError as exc:
        raise OutputError(
            f"{folder}: a search keeps what it measured there ({exc.strerror or exc}); set SAM_EXPORT_CACHE"
        ) from exc
    return folder / f"{task.subject.replace(' ', '-')}-{name}.json"
