from __future__ import annotations

import pytest

from sam_export.verify.layer_scopes import module_of

MODULES = (
    "",
    "encoder",
    "encoder.layers.1",
    "encoder.layers.1.mlp",
    "encoder.layers.1.mlp.fc1",
    "encoder.layers.10",
    "encoder.stem",
    "encoder.stem.0",
    "encoder.stem.0.conv",
    "prompt.pe",
    "prompt.down",
    "prompt.down.3",
    "left.norm",
    "right.norm",
)


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("/encoder/layers.1/mlp/fc1/MatMul", "encoder.layers.1.mlp.fc1"),
        ("/encoder/layers.1/mlp/Mul_3", "encoder.layers.1.mlp"),
        ("/encoder/layers.10/Add", "encoder.layers.10"),
        ("/encoder/stem/stem.0/conv/Conv", "encoder.stem.0.conv"),
        ("/encoder/layers.1/mlp/fc1/MatMul/WithoutBiases", "encoder.layers.1.mlp.fc1"),
        ("/encoder/layers.1/mlp/fc1/Add_output_0_DequantizeLinear", "encoder.layers.1.mlp.fc1"),
        ("/encoder/layers.1/mlp/Mul_3/fq_output_0", "encoder.layers.1.mlp"),
        ("/pe/Sin", "prompt.pe"),
        ("/down/down.3/Conv", "prompt.down.3"),
        ("/Where", ""),
        ("/norm/Add", ""),
        ("/encoder/elsewhere/Add", "encoder"),
        ("onnx::MatMul_12_DequantizeLinear", None),
        ("MVN_63", None),
        ("/encoder/layers.1/mlp/Mul_3_0_0/nncf_smooth_quant", None),
    ],
    ids=lambda value: value,
)
def test_the_module_of_a_name(name: str, module: str | None) -> None:
    assert module_of(name, MODULES) == module
