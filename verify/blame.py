"""What is at fault when a candidate fails: which component, and which of its layers, on the worst prompt."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np

from ..contract import COMPONENT_NAMES, Array, ComponentName, Graph
from ..errors import one_line
from ..models import Component
from ..verification import Failed, PromptScore
from .gate import Sessions, decode, encode, masks_in_picture, scored_cases
from .layers import describe, layer_scores
from .metrics import SNR_CAP_DB, mask_iou, snr_db
from .prompt import batched_feeds
from .prompts import Case
from .suite import Suite, SuitePicture
from .torch_session import TorchSession

# A component that does a tenth of the other one's harm, in power, or less, is not what fails.
AT_FAULT_WITHIN_DB = 10.0


@dataclass(frozen=True)
class Alone:
    """The answer with one component of the candidate and the other one of the reference.

    The SNRs are of the logits of the mask that is compared, and of all predicted IoUs.
    """

    component: ComponentName
    mask_iou: float
    logit_snr_db: float
    iou_snr_db: float

    @property
    def label(self) -> str:
        return self.component.replace("_", " ")

    @property
    def mask_snr_db(self) -> float:
        """What agrees of the mask over what does not."""
        return -20 * math.log10(max(1 - self.mask_iou, 10 ** (-SNR_CAP_DB / 20)))


def blame(sessions: Sessions, graphs: Sequence[Graph], parts: Sequence[Component], suite: Suite, failed: Failed) -> str:
    """Return in one line the worst prompt's mask IoU with each component alone, and the wrong one's worst layers.

    Args:
        sessions: the candidate's. Those without a graph in `graphs` are not taken apart.
        parts: the PyTorch model's components.
    """
    entry, case, score = next(scored_cases(suite, [_worst(suite, failed)]))
    reference: Sessions = {part.contract.component: TorchSession(part) for part in parts}
    encoder, decoder = (
        _alone(suite, entry, case, name, {**reference, name: sessions[name]}) for name in COMPONENT_NAMES
    )
    found = [
        f"worst prompt ({score.picture}, {score.prompt}): mask IoU {encoder.mask_iou:.4f} with only the image encoder "
        f"exchanged, {decoder.mask_iou:.4f} with only the mask decoder"
    ]
    by_name = {graph.contract.component: graph for graph in graphs}
    for alone in _at_fault(encoder, decoder, suite, failed):
        if alone.component in by_name:
            (part,) = (part for part in parts if part.contract.component == alone.component)
            found.append(_layers(alone, by_name[alone.component], part, _feeds(suite, entry, case)))
    return "; ".join(found)


def _worst(suite: Suite, failed: Failed) -> PromptScore:
    """Of the gated prompts, or of those compared by their logits where nothing else was measured."""
    role = "stable" if suite.count("stable") else "parity"
    kinds = {case.prompt.kind for case in suite.cases() if case.prompt.role == role}
    gated = [score for score in failed.measurement.prompts if score.kind in kinds]
    return min(gated, key=lambda score: (score.mask_iou, score.logit_snr_db))


def _alone(suite: Suite, entry: SuitePicture, case: Case, component: ComponentName, sessions: Sessions) -> Alone:
    features = {name: np.ascontiguousarray(value) for name, value in encode(sessions, entry).items()}
    (answer,) = decode(sessions, suite, entry, (case,), features)
    return Alone(
        component,
        mask_iou(*masks_in_picture(suite, entry, case, answer)),
        snr_db(case.answer.low_res_masks[case.answer.index], answer.low_res_masks[case.answer.index]),
        snr_db(case.answer.iou_predictions, answer.iou_predictions),
    )


def _at_fault(encoder: Alone, decoder: Alone, suite: Suite, failed: Failed) -> tuple[Alone, ...]:
    """Return the components that are wrong in what failed: the masks, the predicted IoUs, or both."""
    of_ious = ["iou_predictions" in reason for reason in failed.reasons]
    masks = "mask_snr_db" if suite.count("stable") else "logit_snr_db"
    measures = [attrgetter(masks)] * (not all(of_ious)) + [attrgetter("iou_snr_db")] * any(of_ious)
    limits = [(measure, min(measure(encoder), measure(decoder)) + AT_FAULT_WITHIN_DB) for measure in measures]
    return tuple(alone for alone in (encoder, decoder) if any(measure(alone) <= limit for measure, limit in limits))


def _feeds(suite: Suite, entry: SuitePicture, case: Case) -> dict[str, Array]:
    """Return what the reference's components take for the prompt, both together."""
    ((_, prompt),) = batched_feeds((case.prompt,), entry.prepared, suite.preprocessing, suite.mask_rule, largest=1)
    return {"image": entry.prepared.tensor, **entry.features, **prompt}


def _layers(alone: Alone, graph: Graph, part: Component, feeds: Mapping[str, Array]) -> str:
    own = {name: feeds[name] for name in graph.contract.input_names}
    try:
        return describe(layer_scores(graph, part, own), alone.label, min(alone.logit_snr_db, alone.iou_snr_db))
    except Exception as exc:
        # Taking a graph apart is a help: whatever goes wrong there must not hide that the gate failed, and why.
        return f"the {alone.label}'s layers cannot be told apart ({type(exc).__name__}: {one_line(exc)})"
