"""A bundle of the tiny random model, exported by this package; its self-test expects its own masks."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from sam_export.bundle import BundleDraft, Candidate, write_bundle
from sam_export.exporters import export
from sam_export.manifest import FileEntry, ModelCard, SelfTest, SelfTestCase
from sam_export.models import SamModel, components
from sam_export.runtimes import Segmenter, open_session

from ..bundles import PASSED
from ..runtimes.conftest import png

BOX = (20.0, 10.0, 80.0, 50.0)


def write_tiny_bundle(model: SamModel, picture: np.ndarray, work: Path, out: Path, precision: str = "fp32") -> Path:
    """Return the bundle, written to `out` with graphs that were exported to `work`."""
    graphs = [export(component, "onnx", precision, work) for component in components(model)]
    variant = model.variant
    sessions = {
        graph.contract.component: open_session(graph.path, graph.contract, "onnx", graph.recipe) for graph in graphs
    }
    segmenter = Segmenter(sessions, variant.preprocessing, variant.mask_rule)
    segmenter.set_image(picture)
    mask = segmenter.predict(box=BOX, multimask_output=False).masks[0]
    extras = {"selftest/picture.png": png(picture), "selftest/mask_0.png": png(mask.astype(np.uint8) * 255)}
    entries = [FileEntry(name, hashlib.sha256(data).hexdigest(), len(data)) for name, data in extras.items()]
    draft = BundleDraft(
        model=ModelCard(variant.name, variant.family, variant.license, "random", model.checkpoint_sha256),
        target="onnx",
        precision=precision,
        preprocessing=variant.preprocessing,
        mask_rule=variant.mask_rule,
        candidates=(Candidate(precision, ("cpu",), tuple(graphs), PASSED),),
        selftest=SelfTest(entries[0], 0.97, (SelfTestCase(entries[1], False, 0, box=BOX),)),
        extras=extras,
    )
    return write_bundle(draft, out)
