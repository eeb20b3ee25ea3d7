"""A made-up search of an image encoder: ever more groups left in float, until points pass."""

from __future__ import annotations

import dataclasses

from sam_export.contract import LayerChoice
from sam_export.search_record import AblationRow, GroupHarm, SearchPoint, SearchRecord, TryLimits
from sam_export.verify.report import ReportedCandidate

LIMITS = TryLimits(mean_iou=0.99, worst_iou=0.95, margin=0.5)
GROUPS = (
    "encoder.patch_embed.seq.0.c",
    "encoder.layers.0.blocks.*.conv2.c",
    "encoder.layers.0.downsample.conv2.c",
    "encoder.layers.2.blocks.*.attn.proj",
    *(
        f"encoder.layers.{stage}.blocks.*.{leaf}"
        for stage in (1, 2, 3)
        for leaf in ("attn.qkv", "mlp.fc1", "mlp.fc2", "local_conv.c")
    ),
)
REASON = "its input in 8 bits cost more mask IoU than its speed was worth"


def point(left_out: int, worst: float, latency: float | None, **changes: object) -> SearchPoint:
    """Return a point that leaves so many groups in float and passes if its worst mask does."""
    label = f"without {left_out} group{'s' if left_out > 1 else ''}" if left_out else "all 8-bit inputs"
    mean, passed = 1 - (1 - worst) / 8, worst >= LIMITS.worst_iou
    base = SearchPoint(
        label, mean, worst, mean - 0.05, mean - 0.2, latency, 11_400_000, passed, without=GROUPS[:left_out]
    )
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]  # a field's value by its name


def record() -> SearchRecord:
    return SearchRecord(
        component="image_encoder",
        preferred="speed",
        engine="onnxruntime 1.31.1, CPUExecutionProvider",
        threads=2,
        limits=LIMITS,
        points=(
            point(0, 0.71, 0.433),
            point(1, 0.86, 0.447),
            point(2, 0.931, 0.461),
            point(4, 0.974, 0.502),
            point(3, 0.957, 0.478, chosen=True),
            point(8, 0.971, 0.611),
        ),
        harm=tuple(GroupHarm(name, 1 + index % 3, 40.0 / 1.9**index) for index, name in enumerate(GROUPS)),
        ablation=(
            AblationRow("nearest rounding, min-max ranges", 0.902, 0.41, 0.78, 0.44, 14.2, 0.43, 11_400_000),
            AblationRow("+ smoothing", 0.953, 0.66, 0.86, 0.61, 17.9, 0.44, 11_400_000),
            AblationRow("+ rounding by the layer's output", 0.974, 0.81, 0.9, 0.7, 20.3, 0.44, 11_400_000),
            AblationRow("+ corrected biases", 0.981, 0.86, 0.92, 0.74, 21.6, 0.44, 11_400_000),
            AblationRow("+ 3 groups left in float", 0.9946, 0.957, 0.944, 0.79, 24.0, 0.478, 11_400_000),
        ),
    )


def searched(base: ReportedCandidate, *records: SearchRecord) -> ReportedCandidate:
    """Return the candidate with searches, the first of its graphs with the exceptions of `record()`'s choice."""
    choices = (
        LayerChoice("encoder.patch_embed.seq.0.c", "int8 weights, float inputs", REASON),
        *(
            LayerChoice(f"encoder.layers.0.blocks.{block}.conv2.c", "int8 weights, float inputs", REASON)
            for block in (0, 1, 3)
        ),
        LayerChoice("encoder.layers.0.downsample.conv2.c", "int8 weights, float inputs", REASON),
    )
    first, *others = base.graphs
    exceptional = dataclasses.replace(first, recipe=dataclasses.replace(first.recipe, layers=choices))
    return dataclasses.replace(base, graphs=(exceptional, *others), searches=records or (record(),))
