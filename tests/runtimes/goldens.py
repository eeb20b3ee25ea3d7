"""Goldens for the runtimes in other languages: `python -m tests.runtimes.goldens` writes what this code computes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from pycocotools import mask as coco_mask

from sam_export.contract import MaskRule, Normalisation, Preprocessing, Recipe, StabilityFallback
from sam_export.manifest import SCHEMA_VERSION, FileEntry, Manifest, ModelCard, SelfTest, SelfTestCase
from sam_export.runtimes.decoder_feeds import decoder_feeds
from sam_export.runtimes.mask_choice import answering_tokens, fed_back
from sam_export.runtimes.postprocess import upsample
from sam_export.runtimes.preprocess import prepare_image, to_prompt_frame
from sam_export.runtimes.prompts import one_prompt

from . import geometric_model

FOLDER = Path(__file__).parents[1] / "goldens"
KNUTH = 2654435761

MIN_MAX = Preprocessing((64, 64), (64, 64), "letterbox", "pillow_bilinear", "minimum", Normalisation("min_max"))
MEAN_STD = Preprocessing(
    (48, 48),
    (96, 96),
    "letterbox",
    "pillow_bilinear",
    "mean",
    Normalisation("mean_std", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
)
STRETCH = dataclasses.replace(MEAN_STD, fit="stretch")
PREPROCESSINGS = {"min_max": MIN_MAX, "mean_std": MEAN_STD, "stretch": STRETCH}
SIZES = ((50, 100), (100, 37), (64, 64), (333, 200), (1, 200), (200, 1), (1, 1), (17, 64), (7, 5))
RULE = MaskRule((32, 32), 0, (1, 2, 3), "without_box", 0.0, ("box", "point", "mask"))
RULES = {
    "padding without box": RULE,
    "padding always": dataclasses.replace(RULE, padding_point="always"),
    "six points": dataclasses.replace(RULE, point_slots=6),
    "no mask": dataclasses.replace(RULE, takes_mask=False),
}
UPSAMPLINGS = {name: (pre, RULE) for name, pre in PREPROCESSINGS.items()} | {
    "direct": (STRETCH, dataclasses.replace(RULE, upsampling="direct"))
}
PICTURE_HW = (60, 100)
PROMPTS: dict[str, dict[str, Any]] = {
    "point": {"points": [[12.5, 30.25]], "labels": [1]},
    "points": {"points": [[0, 0], [100, 60], [33.3, 7]], "labels": [1, 0, 1]},
    "box": {"box": [20, 10, 80, 50]},
    "box one pixel outside": {"box": [-1, -0.5, 101, 61]},
    "box and points": {"points": [[40, 20], [1, 59]], "labels": [1, 0], "box": [20, 10, 80, 50.5]},
    "box and mask": {"box": [20, 10, 80, 50], "mask": True},
}
REFUSED: dict[str, tuple[dict[str, Any], MaskRule]] = {
    "nothing": ({}, RULE),
    "a mask alone": ({"mask": True}, RULE),
    "no point in the list": ({"points": [], "labels": []}, RULE),
    "points without labels": ({"points": [[1, 2]]}, RULE),
    "labels without points": ({"labels": [1]}, RULE),
    "more labels than points": ({"points": [[1, 2]], "labels": [1, 0]}, RULE),
    "unknown label": ({"points": [[1, 2]], "labels": [2]}, RULE),
    "point outside": ({"points": [[100.5, 2]], "labels": [1]}, RULE),
    "point of three": ({"points": [[1, 2, 3]], "labels": [1]}, RULE),
    "inverted box": ({"box": [80, 10, 20, 50]}, RULE),
    "empty box": ({"box": [20, 10, 20, 50]}, RULE),
    "box outside": ({"box": [20, 10, 102, 50]}, RULE),
    "box beside the picture": ({"box": [100, 10, 101, 50]}, RULE),
    "box of three": ({"box": [1, 2, 3]}, RULE),
    "a mask that is not taken": ({"box": [1, 2, 3, 4], "mask": True}, RULES["no mask"]),
    "more points than slots": ({"points": [[1, 2]] * 5, "labels": [1] * 5, "box": [1, 2, 3, 4]}, RULES["six points"]),
}
CONTRACTS = {"image_encoder": geometric_model.ENCODER_CONTRACT, "mask_decoder": geometric_model.DECODER_CONTRACT}
EDGE_HW = (10, 20)
IOU_PREDICTIONS = (0.9, 0.5, 0.8, 0.7)
CHOICES = {
    "plain": dataclasses.replace(RULE, mask_hw=EDGE_HW),
    "one mask": dataclasses.replace(RULE, mask_hw=EDGE_HW, multimask_tokens=()),
    "fallback": dataclasses.replace(
        RULE, mask_hw=EDGE_HW, stability_fallback=StabilityFallback(0.05, 0.98), low_res_limit=4.0
    ),
}
MASKS = {
    "one pixel": [".", "#"],
    "empty": ["....", "....", "...."],
    "full": ["###", "###"],
    "from the corner": ["##..", "##..", "...."],
    "hole": ["#####", "#...#", "#.#.#", "#...#", "#####"],
    "corners that touch": ["#.#.", ".#.#", "#.#."],
}


def picture(hw: tuple[int, int]) -> np.ndarray:
    """Uint8 [H, W, 3]: byte i is the upper byte of i times Knuth's constant."""
    index = np.arange(hw[0] * hw[1] * 3, dtype=np.uint64)
    return ((index * KNUTH % 2**32) >> 24).astype(np.uint8).reshape(*hw, 3)


def low_res(hw: tuple[int, int]) -> np.ndarray:
    """Float32 [h, w]: an ellipse and a small disc beside it."""
    h, w = hw
    i, j = np.arange(h)[:, np.newaxis], np.arange(w)[np.newaxis]
    large = 12.37 - (i - 0.4 * h) ** 2 / 9 - (j - 0.55 * w) ** 2 / 5
    small = 3.21 - (i - 0.8 * h) ** 2 - (j - 0.2 * w) ** 2
    return np.maximum(large, small).astype(np.float32)


def preprocess_golden() -> dict[str, Any]:
    cases = [
        {"name": f"{name} {hw[0]}x{hw[1]}", "original_hw": hw, "preprocessing": plain(pre), **_prepared(hw, pre)}
        for name, pre in PREPROCESSINGS.items()
        for hw in SIZES
    ]
    return {"cases": cases}


def _prepared(hw: tuple[int, int], pre: Preprocessing) -> dict[str, Any]:
    prepared = prepare_image(picture(hw), pre)
    points = [[0, 0], [hw[1], hw[0]], [hw[1] * 0.3, hw[0] * 0.7]]
    return {
        "resized_hw": prepared.resized_hw,
        "tensor_sha256": hashlib.sha256(prepared.tensor.astype("<f4").tobytes()).hexdigest(),
        "first_row": prepared.tensor[0, 0, 0, :8].tolist(),
        "points_in_picture": points,
        "points_in_frame": to_prompt_frame(np.array(points), hw, pre).tolist(),
    }


def prompts_golden() -> dict[str, Any]:
    cases = [
        {"name": f"{name}, {rule_name}", "prompt": prompt, "mask_rule": plain(rule), **_feeds(prompt, rule)}
        for name, prompt in PROMPTS.items()
        for rule_name, rule in RULES.items()
        if rule.takes_mask or "mask" not in prompt
    ]
    refused = [{"name": name, "prompt": prompt, "mask_rule": plain(rule)} for name, (prompt, rule) in REFUSED.items()]
    return {
        "original_hw": PICTURE_HW,
        "preprocessing": plain(MIN_MAX),
        "cases": cases,
        "refused": refused,
    }


def _feeds(prompt: dict[str, Any], rule: MaskRule) -> dict[str, Any]:
    feeds = decoder_feeds(asked(prompt, rule), PICTURE_HW, MIN_MAX, rule)
    mask = feeds.get("mask_input")
    return {
        "point_coords": feeds["point_coords"].tolist(),
        "point_labels": feeds["point_labels"].tolist(),
        "has_mask_input": None if mask is None else feeds["has_mask_input"].tolist(),
        "mask_input_sum": None if mask is None else float(mask.astype(np.float64).sum()),
    }


def asked(prompt: dict[str, Any], rule: MaskRule) -> Any:
    mask = low_res(rule.mask_hw)[np.newaxis] if "mask" in prompt else None
    return one_prompt(
        prompt.get("points"), prompt.get("labels"), prompt.get("box"), mask, original_hw=PICTURE_HW, rule=rule
    )


def postprocess_golden() -> dict[str, Any]:
    cases = [
        {"name": f"{name} {hw[0]}x{hw[1]}", "original_hw": hw, "preprocessing": plain(pre), "mask_rule": plain(rule)}
        | _upsampled(hw, pre, rule)
        for name, (pre, rule) in UPSAMPLINGS.items()
        for hw in SIZES
    ]
    return {"cases": cases}


def _upsampled(hw: tuple[int, int], pre: Preprocessing, rule: MaskRule) -> dict[str, Any]:
    logits = upsample(low_res(rule.mask_hw)[np.newaxis], hw, pre, rule)[0]
    spots = sorted({(y * (hw[0] - 1) // 5, x * (hw[1] - 1) // 5) for y in range(6) for x in range(6)})
    return {
        "spots": spots,
        "logits": [float(logits[spot]) for spot in spots],
        "least_margin": float(np.abs(logits - rule.threshold).min()),
        "counts": rle_counts(logits > rule.threshold),
    }


def mask_choice_golden() -> dict[str, Any]:
    cases = [
        {"name": f"{edge} at the edge, {name}, multimask {multimask}", "cells_at_the_edge": edge}
        | {"mask_rule": plain(rule), "multimask_output": multimask, **_chosen(edge, rule, multimask)}
        for edge in (0, 2, 3)
        for name, rule in CHOICES.items()
        for multimask in (False, True)
    ]
    return {"mask_hw": EDGE_HW, "iou_predictions": IOU_PREDICTIONS, "cases": cases}


def _chosen(cells_at_the_edge: int, rule: MaskRule, multimask: bool) -> dict[str, Any]:
    masks = edge_masks(cells_at_the_edge)[np.newaxis]
    tokens = answering_tokens(masks, np.array([IOU_PREDICTIONS], np.float32), rule, multimask_output=multimask)[0]
    return {"tokens": tokens.tolist(), "first_fed_back": fed_back(masks[0, tokens], rule)[:, 0, 0].tolist()}


def edge_masks(cells_at_the_edge: int) -> np.ndarray:
    """Float32 [4, h, w]: the first has 100 cells that are not background, so many of them at 0; the others are 1."""
    single = np.full(EDGE_HW, -5, np.float32)
    single.flat[:100] = 5
    single.flat[:cells_at_the_edge] = 0
    return np.stack([single, *np.ones((3, *EDGE_HW), np.float32)])


def rle_golden() -> dict[str, Any]:
    return {"cases": [{"name": name, "rows": rows, "counts": rle_counts(drawn(rows))} for name, rows in MASKS.items()]}


def drawn(rows: list[str]) -> np.ndarray:
    return np.array([[sign == "#" for sign in row] for row in rows])


def bundle_golden() -> dict[str, Any]:
    """A manifest with every kind of field; its files do not exist."""
    contracts = {name: plain(contract) for name, contract in CONTRACTS.items()}
    graphs = {
        name: {
            "contract": contract,
            "open_path": f"{name}.onnx",
            "files": [plain(FileEntry(f"{name}.onnx", "ab" * 32, 1234))],
            "recipe": plain(Recipe("fp32", storage="fp32", compute="fp32")),
        }
        for name, contract in contracts.items()
    }
    case = SelfTestCase(FileEntry("selftest/mask_0.png", "cd" * 32, 56), False, 0, box=(1.5, 2, 30, 40))
    card = ModelCard("lite_medsam", "tiny_vit_sam", "Apache-2.0", "nowhere", "0" * 64)
    manifest = Manifest(
        schema=SCHEMA_VERSION,
        model=card,
        target="onnx",
        precision="fp32",
        preprocessing=MEAN_STD,
        mask_rule=CHOICES["fallback"],
        variants=(),
        selftest=SelfTest(FileEntry("selftest/picture.png", "ef" * 32, 78), 0.97, (case,)),
        extras=(),
        tools={},
        created="2026-01-01T00:00:00+00:00",
    )
    return {**plain(manifest), "variants": [{"name": "fp32", "devices": ["cpu"], "graphs": graphs}]}


def rle_counts(mask: np.ndarray) -> str:
    counts: bytes = coco_mask.encode(np.asfortranarray(mask, np.uint8))["counts"]
    return counts.decode("ascii")


def plain(value: object) -> Any:
    return msgspec.to_builtins(value)


def goldens() -> dict[str, str]:
    """The text of every file, by name."""
    made = {
        "preprocess.json": preprocess_golden(),
        "prompts.json": prompts_golden(),
        "postprocess.json": postprocess_golden(),
        "mask_choice.json": mask_choice_golden(),
        "rle.json": rle_golden(),
        "bundle.json": bundle_golden(),
    }
    return {name: json.dumps(plain(golden), indent=1) + "\n" for name, golden in made.items()}


if __name__ == "__main__":
    for file_name, text in goldens().items():
        (FOLDER / file_name).write_text(text)
