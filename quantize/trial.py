"""One try of a search: a plan's component on the engine that will run it, how well it segments and how fast it is.

Accuracy is measured on the search set, never on the gate's. Latency is measured beside the float graph of the same
request, turn by turn, and given as a ratio, since machines are shared.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..contract import ComponentName, Session
from ..errors import NotVerifiableError
from ..exporters import ExportOptions, export
from ..models import Component
from ..runtimes.timing import measure, paired_ratio
from ..verification import Summary
from ..verify.evaluators import evaluation_session
from ..verify.gate import Sessions, verify
from ..verify.limits import limits_for
from ..verify.prompt import batched_feeds
from ..verify.suite import Suite

ROUNDS = 9
FEW_PICTURES = 5
# The engine whose times say nothing of those that a user will see.
EVALUATOR = "mil-reference"


@dataclass(frozen=True)
class Score:
    """What a try reached. `latency`: its time by the float graph's, None where the engine itself cannot run here;
    `bytes`: of the component on disk."""

    stable_mean: float
    stable_worst: float
    harsh_mean: float
    harsh_p5: float
    latency: float | None
    bytes: int


@dataclass(frozen=True)
class Noise:
    """`power`: of what is wrong with the masks' logits, by that of the logits, geometric mean over prompts: an
    arithmetic one is that of the few prompts whose masks are a coin's toss."""

    power: float
    latency: float | None


@dataclass(frozen=True, eq=False)
class Bench:
    """What tries of one component share.

    `baseline`: the component's float graph on the same engine. `partner`: the other component, float, in the same
    session for all tries.
    """

    component: ComponentName
    target: str
    base_precision: str
    options: ExportOptions
    suite: Suite
    baseline: Session
    partner: Session

    def sessions(self, session: Session) -> Sessions:
        encoder = self.component == "image_encoder"
        return {
            "image_encoder": session if encoder else self.partner,
            "mask_decoder": self.partner if encoder else session,
        }

    def score(self, candidate: Component) -> Score:
        """Return how a quantized component does, exported and opened as its bundle would be."""
        with self._opened(candidate) as (session, size):
            return accuracy(self.sessions(session), self.suite, self._latency(session), size)

    def worth(self, candidate: Component) -> Noise:
        """Return what a quantized component costs the masks and the clock, on a few pictures."""
        few = _harsh_part(self.suite)
        if not few.pictures:
            raise NotVerifiableError(
                f"{self.suite.model}: untrained weights have no masks to search by; take --precision w8"
            )
        with self._opened(candidate) as (session, _):
            found = verify(self.sessions(session), few, limits_for("int8"), evaluated_by="search")
            snr_db = np.mean([prompt.logit_snr_db for prompt in found.measurement.prompts])
            return Noise(float(10 ** (-snr_db / 10)), self._latency(session))

    @contextmanager
    def _opened(self, candidate: Component) -> Iterator[tuple[Session, int]]:
        """Yield the component's session and its bytes on disk."""
        with tempfile.TemporaryDirectory(prefix="sam-export-") as folder:
            graph = export(candidate, self.target, self.base_precision, Path(folder), self.options)
            session, _ = evaluation_session(graph)
            yield session, sum((graph.path.parent / file).stat().st_size for file in graph.files)

    def _latency(self, session: Session) -> float | None:
        if session.report.engine == EVALUATOR:
            return None
        feeds = self._feeds()
        runs: dict[str, Callable[[], object]] = {
            "candidate": lambda: session.run(feeds),
            "float": lambda: self.baseline.run(feeds),
        }
        samples = measure(runs, repeats=ROUNDS, warmups=1)
        return paired_ratio(samples["candidate"], samples["float"])

    def _feeds(self) -> dict[str, np.ndarray]:
        entry = self.suite.pictures[0]
        if self.component == "image_encoder":
            return {"image": entry.prepared.tensor}
        prompts = [entry.cases[0].prompt]
        ((_, feeds),) = batched_feeds(
            prompts, entry.prepared, self.suite.preprocessing, self.suite.mask_rule, largest=1
        )
        return {**entry.features, **feeds}


def _harsh_part(suite: Suite) -> Suite:
    """Return a few pictures with the prompts that tell most: those whose masks are the easiest to move."""
    pictures = [
        replace(entry, cases=tuple(case for case in entry.cases if case.prompt.role == "harsh"))
        for entry in suite.pictures
    ]
    return replace(suite, pictures=tuple(entry for entry in pictures if entry.cases)[:FEW_PICTURES])


def accuracy(sessions: Sessions, suite: Suite, latency: float | None = None, size: int = 0) -> Score:
    """Return the masks' part of a score, and the rest as given."""
    found = verify(sessions, suite, limits_for("int8"), evaluated_by="search").measurement
    stable, harsh = found.stable, found.harsh
    return Score(*_mean_worst(stable), *_mean_p5(harsh), latency, size)


def _mean_worst(summary: Summary | None) -> tuple[float, float]:
    return (0.0, 0.0) if summary is None else (summary.mean_iou, summary.worst_iou)


def _mean_p5(summary: Summary | None) -> tuple[float, float]:
    return (0.0, 0.0) if summary is None else (summary.mean_iou, summary.p5_iou)
