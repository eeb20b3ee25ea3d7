"""The numbers of one candidate as the report's tables show them: text, limit, and whether it holds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import Literal

from ..verification import Failed, Limits, Measurement, Passed, PromptScore, Summary, TensorScore, TruthScore
from .report_format import format_iou, format_share, format_snr
from .report_measures import Row, groups_of, measure_rows
from .report_plots import IouPlot, SnrPlot, plot_iou, plot_snr

KindRole = Literal["stable", "harsh", "parity", "truth"]
ROLE_TEXT: dict[KindRole, str] = {
    "stable": "gated",
    "harsh": "reported only",
    "parity": "logits only",
    "truth": "ground truth",
}
LISTED_PROMPTS = 400


@dataclass(frozen=True)
class PromptKind:
    """A kind of prompt as `PromptScore.kind` spells it; a kind has one role. `count` over all pictures."""

    name: str
    role: KindRole
    count: int


@dataclass(frozen=True)
class KindRow:
    name: str
    role: str
    count: int
    mean_iou: str
    worst_iou: str
    agreement: str


@dataclass(frozen=True)
class TensorRow:
    name: str
    least: str
    median: str
    picture: str


@dataclass(frozen=True)
class Figure:
    """One of the numbers at the top of the page."""

    label: str
    value: str
    limit: str
    holds: bool | None


@dataclass(frozen=True)
class CandidateView:
    passed: bool
    statement: str
    reasons: tuple[str, ...]
    lowered: bool
    evaluated: str
    caution: str
    figures: tuple[Figure, ...]
    groups: tuple[tuple[str, Summary], ...]
    rows: tuple[Row, ...]
    kinds: tuple[KindRow, ...]
    tensors: tuple[TensorRow, ...]
    iou_plot: IouPlot | None
    snr_plot: SnrPlot | None
    truths: tuple[TruthScore, ...]
    listed: tuple[PromptScore, ...]
    unlisted: int
    measurement: Measurement


def view_candidate(verification: Passed | Failed, kinds: tuple[PromptKind, ...]) -> CandidateView:
    """Return everything that the template prints about one candidate's accuracy."""
    found, limits = verification.measurement, verification.limits
    ranked = sorted(found.prompts, key=lambda score: (not math.isnan(score.mask_iou), score.mask_iou))
    evaluated, caution = describe_evaluation(found.evaluated_by)
    return CandidateView(
        passed=isinstance(verification, Passed),
        statement=_statement(verification),
        reasons=verification.reasons if isinstance(verification, Failed) else (),
        lowered=limits.lowered_by_user,
        evaluated=evaluated,
        caution=caution,
        figures=_figures(found, limits),
        groups=groups_of(found),
        rows=measure_rows(found, limits),
        kinds=_kind_rows(found, kinds),
        tensors=_tensor_rows(found.tensors),
        iou_plot=_iou_plot(found, limits, kinds),
        snr_plot=plot_snr(found.tensors) if found.tensors else None,
        truths=tuple(sorted(found.truth_scores, key=lambda score: -score.loss_points)[:LISTED_PROMPTS]),
        listed=tuple(ranked[:LISTED_PROMPTS]),
        unlisted=max(0, len(ranked) - LISTED_PROMPTS),
        measurement=found,
    )


def describe_evaluation(evaluated_by: str) -> tuple[str, str]:
    """Return a sentence on what ran the graphs, and a caution where it is not what will run them for a user."""
    if "mil-reference" in evaluated_by:
        return (
            f"The saved programs were loaded back and evaluated one operation at a time by {evaluated_by}, "
            "sam-export's own evaluator, which rounds every fp16 operation as the program declares it. Apple's compute "
            "units may order and fuse operations differently: the command “sam-export verify” on a Mac repeats "
            "these measurements with Core ML.",
            "Core ML itself did not run.",
        )
    return f"The saved graphs were loaded back and run by {evaluated_by}.", ""


def _statement(verification: Passed | Failed) -> str:
    found, limits = verification.measurement, verification.limits
    if isinstance(verification, Failed):
        return "The exported graphs do not give the PyTorch model's masks within the limits. They must not be shipped."
    if found.stable is None:
        return (
            f"The exported graphs give the PyTorch model's mask logits within {limits.logit_snr_db:g} dB. "
            "The weights have no stable masks to compare."
        )
    return (
        f"The exported graphs give the PyTorch model's masks on {found.stable.count} prompts over "
        f"{found.stable.pictures} pictures, within every limit."
    )


def _figures(found: Measurement, limits: Limits) -> tuple[Figure, ...]:
    figures: list[Figure] = []
    if found.stable is not None:
        mean, worst = found.stable.mean_iou, found.stable.worst_iou
        figures = [
            Figure("Mean mask IoU", format_iou(mean), f"at least {limits.mean_iou:g}", mean >= limits.mean_iou),
            Figure("5th percentile", format_iou(found.stable.p5_iou), "no limit", None),
            Figure("Worst mask IoU", format_iou(worst), f"at least {limits.worst_iou:g}", worst >= limits.worst_iou),
        ]
    elif found.parity is not None:
        snr = found.parity.min_logit_snr_db
        figures = [
            Figure(
                "Least logit SNR", format_snr(snr), f"at least {limits.logit_snr_db:g} dB", snr >= limits.logit_snr_db
            )
        ]
    if found.tensors:
        least = min(score.snr_db for score in found.tensors)
        figures.append(Figure("Least encoder SNR", format_snr(least), "no limit", None))
    return tuple(figures)


def _kind_rows(found: Measurement, kinds: tuple[PromptKind, ...]) -> tuple[KindRow, ...]:
    rows = []
    for kind, scores in _by_kind(found, kinds):
        ious = [score.mask_iou for score in scores]
        agreement = sum(score.same_index for score in scores) / len(scores)
        rows.append(
            KindRow(
                kind.name,
                ROLE_TEXT[kind.role],
                len(scores),
                format_iou(sum(ious) / len(ious)),
                format_iou(min(ious)),
                format_share(agreement),
            )
        )
    return tuple(rows)


def _by_kind(
    found: Measurement, kinds: tuple[PromptKind, ...]
) -> tuple[tuple[PromptKind, tuple[PromptScore, ...]], ...]:
    """The scores of each kind that has any, in the order of `kinds`."""
    undescribed = {score.kind for score in found.prompts} - {kind.name for kind in kinds}
    assert not undescribed, f"the suite's description names no role for the prompts of kind {sorted(undescribed)}"
    pairs = ((kind, tuple(score for score in found.prompts if score.kind == kind.name)) for kind in kinds)
    return tuple((kind, scores) for kind, scores in pairs if scores)


def _iou_plot(found: Measurement, limits: Limits, kinds: tuple[PromptKind, ...]) -> IouPlot | None:
    groups = [(kind.name, kind.role == "stable", scores) for kind, scores in _by_kind(found, kinds)]
    gated = any(is_gated for _, is_gated, _ in groups)
    return plot_iou(groups, limits.worst_iou if gated else None) if groups else None


def _tensor_rows(tensors: tuple[TensorScore, ...]) -> tuple[TensorRow, ...]:
    rows = []
    for name in dict.fromkeys(score.tensor for score in tensors):
        scores = [score for score in tensors if score.tensor == name]
        least = min(scores, key=lambda score: score.snr_db)
        middle = median(score.snr_db for score in scores)
        rows.append(TensorRow(name, format_snr(least.snr_db), format_snr(middle), least.picture))
    return tuple(rows)
