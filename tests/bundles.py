"""A draft of a bundle whose graphs are a few bytes: enough to test writing, hashing and reading."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sam_export.bundle import BundleDraft, Candidate
from sam_export.contract import COMPONENT_NAMES, Graph, GraphContract, Recipe
from sam_export.manifest import FileEntry, ModelCard, SelfTest, SelfTestCase
from sam_export.models.catalog.tiny_vit_sam import LITE_MEDSAM
from sam_export.verification import Failed, Limits, Measurement, Passed, Summary, TensorScore, Verification

SUMMARY = Summary(
    count=100,
    pictures=20,
    mean_iou=0.999,
    p5_iou=0.998,
    worst_iou=0.99,
    worst_picture="coffee",
    worst_prompt="box 1",
    mean_boundary_iou=0.99,
    index_agreement=1.0,
    max_iou_prediction_error=0.001,
    min_logit_snr_db=60.0,
)
LIMITS = Limits(mean_iou=0.995, worst_iou=0.98, logit_snr_db=35.0)
MEASUREMENT = Measurement(
    evaluated_by="test",
    suite_sha256="0" * 64,
    prompts=(),
    tensors=(TensorScore("coffee", "image_embeddings", 61.0),),
    stable=SUMMARY,
    harsh=None,
    parity=None,
    weights_trained=True,
)
PASSED = Passed(MEASUREMENT, LIMITS)
FAILED = Failed(MEASUREMENT, LIMITS, ("mask_decoder onnx fp16: mean mask IoU 0.9, minimum 0.995; try fp32",))
EXTRAS = {"report.html": b"<html></html>", "selftest/picture.png": b"picture", "selftest/mask_0.png": b"mask"}


def entry(path: str) -> FileEntry:
    return FileEntry(path, hashlib.sha256(EXTRAS[path]).hexdigest(), len(EXTRAS[path]))


def graphs(folder: Path) -> tuple[Graph, ...]:
    made = []
    for component in COMPONENT_NAMES:
        path = folder / f"{component}.onnx"
        path.write_bytes(component.encode() * 100)
        recipe = Recipe("fp16", storage="fp16", compute="fp32")
        made.append(Graph(GraphContract(component, (), ()), "onnx", recipe, path, (path.name,)))
    return tuple(made)


def draft(folder: Path, verification: Verification = PASSED) -> BundleDraft:
    return BundleDraft(
        model=ModelCard("lite_medsam", "tiny_vit_sam", "Apache-2.0", "a wheel", "0" * 64),
        target="onnx",
        precision="fp16",
        preprocessing=LITE_MEDSAM.preprocessing,
        mask_rule=LITE_MEDSAM.mask_rule,
        candidates=(Candidate("fp16", ("cpu",), graphs(folder), verification),),
        selftest=SelfTest(
            picture=entry("selftest/picture.png"),
            min_iou=0.97,
            cases=(SelfTestCase(entry("selftest/mask_0.png"), multimask_output=False, index=0, box=(0, 0, 9, 9)),),
        ),
        extras=EXTRAS,
    )
