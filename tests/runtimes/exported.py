"""A torch model's own graphs, ungated, with a segmenter over them."""

from __future__ import annotations

from pathlib import Path

from sam_export.exporters import export
from sam_export.models import SamModel, components
from sam_export.runtimes import Segmenter, open_session
from sam_export.runtimes.embedding_key import EmbeddingKey


def exported(model: SamModel, folder: Path) -> Segmenter:
    graphs = [export(component, "onnx", "fp32", folder) for component in components(model)]
    sessions = {
        graph.contract.component: open_session(graph.path, graph.contract, "onnx", graph.recipe) for graph in graphs
    }
    key = EmbeddingKey(model.variant.name, model.checkpoint_sha256, graphs[0].contract.outputs)
    return Segmenter(sessions, model.variant.preprocessing, model.variant.mask_rule, embedding_key=key)
