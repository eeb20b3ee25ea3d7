"""Which ops of a trace belong to which module."""

from __future__ import annotations

import pytest

from sam_export.errors import ConversionError
from sam_export.exporters.module_scopes import ops_of_modules

OPS = (
    "/normalise/Sub",
    "/encoder/layers.0/blocks.0/conv1/Conv",
    "/encoder/layers.1/blocks.0/conv1/Conv",
    "/pe_layer/Sin",
    "/decoder/upscaling.0/upscaling.0.1/Add",
    "/decoder/heads/heads.1/heads.1.0/Mul",
)


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("normalise", {OPS[0]}),
        ("encoder.layers.0", {OPS[1]}),
        ("encoder.layers.1.blocks", {OPS[2]}),
        ("encoder", {OPS[1], OPS[2]}),
        ("prompt_encoder.pe_layer", {OPS[3]}),
        ("decoder.upscaling.0.1", {OPS[4]}),
        ("decoder.heads.1", {OPS[5]}),
        ("decoder.heads.1.0", {OPS[5]}),
    ],
)
def test_ops_are_found_by_their_path(module: str, expected: set[str]) -> None:
    assert ops_of_modules(OPS, (module,), "graph") == expected


def test_a_module_without_ops_is_named() -> None:
    with pytest.raises(ConversionError, match=r"graph: no traced op belongs to 'encoder\.layers\.2'"):
        ops_of_modules(OPS, ("encoder.layers.2",), "graph")
