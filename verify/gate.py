"""The quality gate: the exported graphs, end to end, against the reference's answers.

A candidate's own embeddings go into its own decoder. Pictures are prepared and masks are brought to the picture's
size by the same functions as the reference's, so that what differs is the graphs' alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..contract import Array, ComponentName, FloatArray, Session
from ..errors import ContractError, ConversionError, SamExportError, one_line
from ..runtimes.postprocess import upsample
from ..verification import Failed, Limits, Measurement, Passed, PromptScore, Summary, TensorScore, TruthScore
from .ground_truth_scores import summarise_truth, truth_score
from .judge import failures
from .lanes import in_lanes, lanes_of
from .metrics import boundary_iou, mask_iou, snr_db
from .prompt import batched_feeds, chosen_index
from .prompts import Case
from .suite import Suite, SuitePicture

Progress = Callable[[str, int, int], None]
Sessions = Mapping[ComponentName, Session]
Mask = NDArray[np.bool_]

# ms for each prompt, batches of 1, 2, 4, 16: onnxruntime 34, 36, 42, 38; MIL evaluator 62, 49, 55, 89.
LARGEST_BATCH = 2
# What an error that is not a number counts as, since JSON has no word for it.
NOT_A_NUMBER_ERROR = 1000.0


@dataclass(frozen=True, eq=False)
class CandidateAnswer:
    """What a candidate answers to one prompt: `low_res_masks` [M, h, w], `iou_predictions` [M]."""

    low_res_masks: FloatArray
    iou_predictions: FloatArray


@dataclass(frozen=True)
class PictureScores:
    """What a candidate scored on one picture."""

    tensors: tuple[TensorScore, ...]
    prompts: tuple[PromptScore, ...]
    truths: tuple[TruthScore, ...]


def verify(
    sessions: Sessions,
    suite: Suite,
    limits: Limits,
    *,
    evaluated_by: str,
    notes: tuple[str, ...] = (),
    progress: Progress | None = None,
) -> Passed | Failed:
    """Return the verdict on a candidate with every number behind it.

    Args:
        evaluated_by: what ran the graphs, for the bundle and its report.
        notes: what a reader must know of this evaluation.

    Raises:
        ContractError: an output is missing or has another shape than the reference's.
        ConversionError: an engine failed on a graph.
    """
    scores = in_lanes(
        lambda entry: _picture_scores(sessions, suite, entry),
        suite.pictures,
        lanes_of(sessions.values()),
        lambda done: progress("verify", done, len(suite.pictures)) if progress else None,
    )
    measurement = _measurement(suite, scores, evaluated_by, notes)
    reasons = failures(measurement, limits)
    return Failed(measurement, limits, reasons) if reasons else Passed(measurement, limits)


def _picture_scores(sessions: Sessions, suite: Suite, entry: SuitePicture) -> PictureScores:
    features = encode(sessions, entry)
    answers = decode(sessions, suite, entry, entry.cases, features)
    return PictureScores(
        tuple(TensorScore(entry.picture.name, name, snr_db(entry.features[name], features[name])) for name in features),
        tuple(_score(suite, entry, case, answer) for case, answer in zip(entry.cases, answers, strict=True)),
        tuple(_against_truth(suite, entry, answers)),
    )


def encode(sessions: Sessions, entry: SuitePicture) -> dict[str, FloatArray]:
    """Return what the candidate's encoder gives for a picture, by name, of the reference's shapes."""
    outputs = _run(sessions, "image_encoder", {"image": entry.prepared.tensor}, entry.picture.name)
    return {name: _output(outputs, name, value.shape, "image_encoder") for name, value in entry.features.items()}


def decode(
    sessions: Sessions, suite: Suite, entry: SuitePicture, cases: Sequence[Case], features: Mapping[str, FloatArray]
) -> tuple[CandidateAnswer, ...]:
    """Return the candidate's answers to some cases of a picture, in their order."""
    prompts = [case.prompt for case in cases]
    found: dict[int, CandidateAnswer] = {}
    for batch, feeds in batched_feeds(
        prompts, entry.prepared, suite.preprocessing, suite.mask_rule, largest=LARGEST_BATCH
    ):
        outputs = _run(sessions, "mask_decoder", {**features, **feeds}, entry.picture.name)
        expected = cases[batch[0]].answer
        masks = _output(outputs, "low_res_masks", (len(batch), *expected.low_res_masks.shape), "mask_decoder")
        ious = _output(outputs, "iou_predictions", (len(batch), *expected.iou_predictions.shape), "mask_decoder")
        for place, index in enumerate(batch):
            found[index] = CandidateAnswer(masks[place], ious[place])
    return tuple(found[index] for index in range(len(cases)))


def masks_in_picture(
    suite: Suite, entry: SuitePicture, case: Case, answer: CandidateAnswer, *, candidate_index: int | None = None
) -> tuple[Mask, Mask]:
    """Return the reference's and the candidate's mask in the picture; without an index, at the reference's."""
    index = case.answer.index if candidate_index is None else candidate_index
    both = np.stack([case.answer.low_res_masks[case.answer.index], answer.low_res_masks[index]])
    with np.errstate(invalid="ignore", over="ignore"):
        logits = upsample(both, entry.prepared.original_hw, suite.preprocessing, suite.mask_rule)
        reference, candidate = logits > suite.mask_rule.threshold
    return reference, candidate


def _score(suite: Suite, entry: SuitePicture, case: Case, answer: CandidateAnswer) -> PromptScore:
    reference, candidate = masks_in_picture(suite, entry, case, answer)
    index, expected = case.answer.index, case.answer
    error = float(np.abs(answer.iou_predictions - expected.iou_predictions).max())
    return PromptScore(
        picture=entry.picture.name,
        prompt=case.prompt.name,
        kind=case.prompt.kind,
        index=index,
        mask_iou=mask_iou(reference, candidate),
        boundary_iou=boundary_iou(reference, candidate),
        same_index=_chosen(suite, case, answer) == index,
        iou_prediction_error=error if np.isfinite(error) else NOT_A_NUMBER_ERROR,
        logit_snr_db=snr_db(expected.low_res_masks, answer.low_res_masks),
    )


def _chosen(suite: Suite, case: Case, answer: CandidateAnswer) -> int:
    return chosen_index(case.prompt, answer.low_res_masks, answer.iou_predictions, suite.mask_rule)


def _against_truth(suite: Suite, entry: SuitePicture, answers: Sequence[CandidateAnswer]) -> list[TruthScore]:
    """Return the scores of the prompts for outlined objects, each side with the mask that it chose itself."""
    scores = []
    for case, answer in zip(entry.cases, answers, strict=True):
        if case.prompt.truth is not None:
            own = _chosen(suite, case, answer)
            masks = masks_in_picture(suite, entry, case, answer, candidate_index=own)
            scores.append(truth_score(entry.picture.name, case.prompt, case.prompt.truth, *masks))
    return scores


def _measurement(
    suite: Suite, scores: Sequence[PictureScores], evaluated_by: str, notes: tuple[str, ...]
) -> Measurement:
    prompts = tuple(score for picture in scores for score in picture.prompts)
    truths = tuple(score for picture in scores for score in picture.truths)
    roles = [case.prompt.role for case in suite.cases()]
    groups = {
        role: summarise([score for score, own in zip(prompts, roles, strict=True) if own == role])
        for role in ("stable", "harsh", "parity")
    }
    return Measurement(
        evaluated_by=evaluated_by,
        suite_sha256=suite.sha256,
        prompts=prompts,
        tensors=tuple(tensor for picture in scores for tensor in picture.tensors),
        stable=groups["stable"],
        harsh=groups["harsh"],
        parity=groups["parity"],
        weights_trained=suite.weights_trained,
        notes=(*suite.notes, *notes),
        truth=summarise_truth(truths),
        truth_scores=truths,
    )


def summarise(scores: Sequence[PromptScore]) -> Summary | None:
    """Return the numbers of a group of prompts; None for an empty one."""
    if not scores:
        return None
    ious = np.array([score.mask_iou for score in scores])
    worst = min(scores, key=lambda score: (score.mask_iou, score.boundary_iou))
    return Summary(
        count=len(scores),
        pictures=len({score.picture for score in scores}),
        mean_iou=float(ious.mean()),
        p5_iou=float(np.percentile(ious, 5)),
        worst_iou=worst.mask_iou,
        worst_picture=worst.picture,
        worst_prompt=worst.prompt,
        mean_boundary_iou=float(np.mean([score.boundary_iou for score in scores])),
        index_agreement=float(np.mean([score.same_index for score in scores])),
        max_iou_prediction_error=max(score.iou_prediction_error for score in scores),
        min_logit_snr_db=min(score.logit_snr_db for score in scores),
    )


def _run(sessions: Sessions, component: ComponentName, feeds: Mapping[str, Array], picture: str) -> dict[str, Array]:
    try:
        return sessions[component].run(feeds)
    except SamExportError:
        raise
    except Exception as exc:
        # Engines raise types of their own, often plain RuntimeError; what they share is that the graph did not run.
        engine = sessions[component].report.engine
        raise ConversionError(
            f"{component} on {engine}: failed on picture {picture!r} ({type(exc).__name__}: {one_line(exc)}); "
            "export again, or try another precision or engine version"
        ) from exc


def _output(outputs: Mapping[str, Array], name: str, shape: tuple[int, ...], component: ComponentName) -> FloatArray:
    found = outputs.get(name)
    if found is None or found.shape != shape:
        given = "is missing" if found is None else f"has shape {list(found.shape)}"
        raise ContractError(f"{component}: output {name!r} {given}, the reference gives {list(shape)}; export again")
    result: FloatArray = found.astype(np.float32)
    return result


def scored_cases(suite: Suite, scores: Sequence[PromptScore]) -> Iterator[tuple[SuitePicture, Case, PromptScore]]:
    """Yield the picture and the case that each score is of."""
    places = {(entry.picture.name, case.prompt.name): (entry, case) for entry in suite.pictures for case in entry.cases}
    for score in scores:
        entry, case = places[score.picture, score.prompt]
        yield entry, case, score
