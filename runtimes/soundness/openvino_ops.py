"""The ops that an IR may have: those that exporters here, and converters of other SAMs, write.

openvino's reader ends the process on some ops that have fewer inputs than it takes for granted (Broadcast without any,
in 2026.4), so that each is held to its number. A model that needs another op gets a line here.

Source: openvinotoolkit/openvino, `docs/articles_en/documentation/openvino-ir-format/operation-sets`.
"""

from __future__ import annotations

from collections.abc import Mapping

_ONE = (
    *("Abs", "Ceiling", "Clamp", "Convert", "Cos", "Elu", "Erf", "Exp", "Floor", "Gelu", "HSigmoid", "HSwish", "Log"),
    *("LogicalNot", "Negative", "ReLU", "Result", "Round", "ShapeOf", "Sigmoid", "Sign", "Sin", "SoftMax", "SoftPlus"),
    *("AvgPool", "DepthToSpace", "LogSoftmax", "MaxPool", "NonZero", "Sqrt", "Tanh"),
)
_TWO = (
    *("Add", "Divide", "Equal", "FloorMod", "Greater", "GreaterEqual", "Less", "LessEqual", "LogicalAnd", "LogicalOr"),
    *("LogicalXor", "Maximum", "Minimum", "Mod", "Multiply", "NotEqual", "Power", "PRelu", "SquaredDifference"),
    *("Subtract", "ReduceL1", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "MatMul"),
    *("Convolution", "GatherElements", "GatherND", "GroupConvolution", "MVN", "NormalizeL2", "Reshape", "Split"),
    *("Tile", "TopK", "Transpose", "Unsqueeze"),
)
INPUTS: Mapping[str, tuple[int, int]] = {
    "Const": (0, 0),
    "Parameter": (0, 0),
    **dict.fromkeys(_ONE, (1, 1)),
    **dict.fromkeys(_TWO, (2, 2)),
    "BatchNormInference": (5, 5),
    "Broadcast": (2, 3),
    "Concat": (1, 1024),
    "ConvolutionBackpropData": (2, 3),
    "FakeQuantize": (5, 5),
    "Gather": (3, 3),
    "GroupConvolutionBackpropData": (2, 3),
    "Interpolate": (2, 4),
    "Pad": (3, 4),
    "Range": (3, 3),
    "ScaledDotProductAttention": (3, 5),
    "ScatterNDUpdate": (3, 3),
    "Select": (3, 3),
    "Slice": (4, 5),
    "Squeeze": (1, 2),
    "StridedSlice": (3, 4),
    "Swish": (1, 2),
    "VariadicSplit": (3, 3),
}
"""By type, the least and the most inputs."""
