"""Every exported file says whose weights it holds and what they may be used for, in its format's own metadata."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import onnx
import pytest

from sam_export.contract import Graph
from sam_export.exporters import TARGETS, export
from sam_export.exporters.coreml import read_spec
from sam_export.exporters.tool import weights_facts
from sam_export.models import SamModel, components
from sam_export.optional import import_openvino
from sam_export.triton_layout import onnx_file

pytestmark = pytest.mark.slow

KEYS = ("model", "license", "source", "checkpoint_sha256")


def onnx_facts(graph: Graph) -> dict[str, str]:
    file = onnx_file(graph.path, graph.contract.component)
    found = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
    return {key: found[f"sam_export.{key}"] for key in KEYS if f"sam_export.{key}" in found}


def openvino_facts(graph: Graph) -> dict[str, str]:
    model = import_openvino(purpose="testing", extra="dev").Core().read_model(graph.path)
    return {
        key: model.get_rt_info(["sam_export", key]).astype(str)
        for key in KEYS
        if model.has_rt_info(["sam_export", key])
    }


def coreml_facts(graph: Graph) -> dict[str, str]:
    found = read_spec(graph.path).description.metadata.userDefined
    return {key: found[f"sam_export.{key}"] for key in KEYS if f"sam_export.{key}" in found}


READERS: Mapping[str, Callable[[Graph], dict[str, str]]] = {
    "onnx": onnx_facts,
    "openvino": openvino_facts,
    "coreml": coreml_facts,
    "web": onnx_facts,
    "triton": onnx_facts,
}
EACH_TARGET = pytest.mark.parametrize("target", TARGETS)


@EACH_TARGET
def test_a_file_says_whose_weights_it_holds(tiny_sam: SamModel, tmp_path: Path, target: str) -> None:
    expected = {
        "model": "tiny_sam",
        "license": "none, the weights are random",
        "source": "random weights of seed 7, not trained",
        "checkpoint_sha256": tiny_sam.checkpoint_sha256,
    }
    for part in components(tiny_sam):
        for precision in TARGETS[target].precisions[:2]:
            assert READERS[target](export(part, target, precision, tmp_path / precision)) == expected


@EACH_TARGET
def test_weights_of_no_model_are_not_made_up(tiny_sam: SamModel, tmp_path: Path, target: str) -> None:
    part = dataclasses.replace(components(tiny_sam)[1], card=None)
    assert weights_facts(part) == {}
    assert READERS[target](export(part, target, "fp32", tmp_path)) == {}


def test_core_mls_own_fields(tiny_sam: SamModel, tmp_path: Path) -> None:
    graph = export(components(tiny_sam)[1], "coreml", "fp32", tmp_path)
    metadata = read_spec(graph.path).description.metadata
    assert metadata.license == tiny_sam.card.license
    assert metadata.author == "sam-export"
    assert metadata.shortDescription == "Segment Anything, mask decoder of tiny_sam"
