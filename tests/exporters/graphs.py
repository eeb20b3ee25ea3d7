"""Running a component in torch on prompts of every kind, and comparing a session with it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from sam_export.contract import Array, Graph, GraphContract, PointLabel, Session
from sam_export.exporters import export
from sam_export.models.components import Component

PRECISIONS = ("fp32", "fp16")
LARGEST_ERROR = {"fp32": 1e-5, "fp16": 1e-2}
Exported = Mapping[tuple[str, str], Graph]
ALL_LABELS = tuple(float(label) for label in PointLabel)
PROMPT_SIZES = tuple(
    pytest.param(batch, points, mask, id=f"B{batch}-N{points}-{'mask' if mask else 'nomask'}")
    for batch, points, mask in itertools.product((1, 3), (1, 2, 5), (0, 1))
)


def decoder_feeds(
    contract: GraphContract,
    *,
    batch: int = 1,
    points: int = 5,
    has_mask: int = 0,
    labels: tuple[float, ...] = ALL_LABELS,
) -> dict[str, Array]:
    """Return seeded feeds for the mask decoder; labels run through the given ones."""
    generator = np.random.default_rng(batch * 100 + points * 10 + has_mask)
    sizes = {"B": batch, "N": points}
    shapes = {
        spec.name: [sizes[axis] if isinstance(axis, str) else axis for axis in spec.shape] for spec in contract.inputs
    }
    frame = shapes["mask_input"][-1]
    feeds = {
        "image_embeddings": generator.normal(size=shapes["image_embeddings"]),
        "point_coords": generator.uniform(0, frame, size=shapes["point_coords"]),
        "point_labels": np.resize(labels, shapes["point_labels"]),
        "mask_input": generator.normal(scale=5, size=shapes["mask_input"]),
        "has_mask_input": np.full(shapes["has_mask_input"], has_mask),
    }
    return {name: array.astype(np.float32) for name, array in feeds.items()}


def encoder_feeds(contract: GraphContract) -> dict[str, Array]:
    (image,) = contract.inputs
    shape = [int(size) for size in image.shape]
    return {"image": np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)}


def feeds_for(component: Component) -> dict[str, Array]:
    if component.contract.component == "image_encoder":
        return encoder_feeds(component.contract)
    return decoder_feeds(component.contract, batch=3)


def torch_outputs(component: Component, feeds: Mapping[str, Array]) -> dict[str, Array]:
    with torch.no_grad():
        outputs = component.module(*(torch.from_numpy(feeds[name]) for name in component.contract.input_names))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return {name: output.numpy() for name, output in zip(component.contract.output_names, outputs, strict=True)}


def worst_error(session: Session, component: Component, feeds: Mapping[str, Array]) -> float:
    """Return the largest error over all outputs, relative to each one's largest value in torch."""
    candidate, reference = session.run(feeds), torch_outputs(component, feeds)
    assert {name: array.shape for name, array in candidate.items()} == {
        name: array.shape for name, array in reference.items()
    }
    return max(float(np.abs(candidate[name] - array).max() / np.abs(array).max()) for name, array in reference.items())


def stored_bytes(component: Component) -> int:
    """Return the bytes of the parameters in fp32, each counted once."""
    return sum(4 * parameter.numel() for parameter in component.module.parameters())


def export_all(parts: Mapping[str, Component], target: str, folder: Path) -> Exported:
    """Return the graphs of a model, by component and precision."""
    return {
        (name, precision): export(component, target, precision, folder / precision)
        for name, component in parts.items()
        for precision in PRECISIONS
    }


def assert_matches(
    opened: Callable[..., Session], graph: Graph, component: Component, feeds: Mapping[str, Array]
) -> None:
    assert worst_error(opened(graph.path, graph.contract), component, feeds) < LARGEST_ERROR[graph.recipe.precision]
