"""Two ONNX graphs that answer a prompt with its own geometry, so that a test knows every mask beforehand.

The decoder's mask is the box itself, or a square of side 2 * RADIUS around the one foreground point, in the prompt
frame; token k shrinks it by 2 k pixels on every side. `mask_input` is added to the logits.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from sam_export.contract import GraphContract, MaskRule, Normalisation, Preprocessing, TensorSpec

FRAME = 64
CELLS = 32
RADIUS = 8.0
IOU_PREDICTIONS = (0.9, 0.5, 0.8, 0.7)

PREPROCESSING = Preprocessing(
    image_hw=(FRAME, FRAME),
    prompt_frame_hw=(FRAME, FRAME),
    fit="letterbox",
    filter="pillow_bilinear",
    padding="minimum",
    normalisation=Normalisation("min_max"),
)
MASK_RULE = MaskRule(
    mask_hw=(CELLS, CELLS),
    single_mask_token=0,
    multimask_tokens=(1, 2, 3),
    padding_point="without_box",
    threshold=0.0,
    prompts=("box", "point", "mask"),
)


def spec(name: str, *shape: int | str) -> TensorSpec:
    return TensorSpec(name, shape, "float32", name)


ENCODER_CONTRACT = GraphContract(
    "image_encoder", (spec("image", 1, 3, FRAME, FRAME),), (spec("image_embeddings", 1, 3, CELLS, CELLS),)
)
DECODER_CONTRACT = GraphContract(
    "mask_decoder",
    (
        spec("image_embeddings", 1, 3, CELLS, CELLS),
        spec("point_coords", "B", "N", 2),
        spec("point_labels", "B", "N"),
        spec("mask_input", "B", 1, CELLS, CELLS),
        spec("has_mask_input", "B"),
    ),
    (spec("low_res_masks", "B", 4, CELLS, CELLS), spec("iou_predictions", "B", 4)),
)


def save_encoder(path: Path) -> Path:
    """image_embeddings: the picture, averaged down."""
    nodes = [helper.make_node("AveragePool", ["image"], ["image_embeddings"], kernel_shape=[2, 2], strides=[2, 2])]
    return _save(path, ENCODER_CONTRACT, nodes, {})


def save_decoder(path: Path, *, logit_scale: float = 1.0, label_of_top_left: float = 2.0) -> Path:
    """`logit_scale` and `label_of_top_left` are there to break it."""
    node = helper.make_node
    nodes = [
        node("Equal", ["point_labels", "two"], ["is_first"]),
        node("Equal", ["point_labels", "three"], ["is_last"]),
        node("Equal", ["point_labels", "one"], ["is_point"]),
        *_corner("first", "Sub"),
        *_corner("last", "Add"),
        node("Sub", ["grid", "first"], ["from_first"]),  # [1, h, w, 2] - [B, 1, 1, 2]
        node("Sub", ["last", "grid"], ["from_last"]),
        node("Min", ["from_first", "from_last"], ["inside"]),
        node("ReduceMin", ["inside"], ["distance"], axes=[3], keepdims=0),
        node("Unsqueeze", ["distance", "axis_1"], ["one_mask"]),
        node("Sub", ["one_mask", "shrink"], ["masks"]),
        node("Reshape", ["has_mask_input", "batch_shape"], ["has_mask"]),
        node("Mul", ["mask_input", "has_mask"], ["earlier"]),
        node("Add", ["masks", "earlier"], ["unscaled"]),
        node("Mul", ["unscaled", "logit_scale"], ["from_prompts"]),
        node("ReduceMean", ["image_embeddings"], ["brightness"], keepdims=1),
        node("Mul", ["brightness", "zero"], ["nothing"]),
        node("Add", ["from_prompts", "nothing"], ["low_res_masks"]),
        node("Reshape", ["has_mask_input", "column"], ["has_column"]),
        node("Mul", ["has_column", "zero"], ["zero_column"]),
        node("Add", ["zero_column", "ious"], ["iou_predictions"]),
    ]
    centres = (np.arange(CELLS, dtype=np.float32) + 0.5) * FRAME / CELLS
    constants = {
        "one": np.float32(1),
        "two": np.float32(label_of_top_left),
        "three": np.float32(3),
        "zero": np.float32(0),
        "radius": np.float32(RADIUS),
        "logit_scale": np.float32(logit_scale),
        "grid": np.stack(np.meshgrid(centres, centres), axis=-1)[np.newaxis],
        "shrink": 2 * np.arange(4, dtype=np.float32).reshape(1, 4, 1, 1),
        "ious": np.array([IOU_PREDICTIONS], np.float32),
        "axis_1": np.array([1], np.int64),
        "axis_2": np.array([2], np.int64),
        "axis_over_points": np.array([1], np.int64),
        "corner_shape": np.array([-1, 1, 1, 2], np.int64),
        "batch_shape": np.array([-1, 1, 1, 1], np.int64),
        "column": np.array([-1, 1], np.int64),
    }
    return _save(path, DECODER_CONTRACT, nodes, constants)


def _corner(name: str, widen: str) -> list[onnx.NodeProto]:
    """The corner labelled as such, or a foreground point moved by RADIUS; [B, 1, 1, 2]."""
    node = helper.make_node
    return [
        node("Cast", [f"is_{name}"], [f"{name}_corner"], to=TensorProto.FLOAT),
        node("Unsqueeze", [f"{name}_corner", "axis_2"], [f"{name}_corner_weight"]),
        node("Cast", ["is_point"], [f"{name}_point"], to=TensorProto.FLOAT),
        node("Unsqueeze", [f"{name}_point", "axis_2"], [f"{name}_point_weight"]),
        node("Mul", ["point_coords", f"{name}_corner_weight"], [f"{name}_of_box"]),
        node(widen, ["point_coords", "radius"], [f"{name}_moved"]),
        node("Mul", [f"{name}_moved", f"{name}_point_weight"], [f"{name}_of_point"]),
        node("Add", [f"{name}_of_box", f"{name}_of_point"], [f"{name}_parts"]),
        node("ReduceSum", [f"{name}_parts", "axis_over_points"], [f"{name}_sum"], keepdims=0),
        node("Reshape", [f"{name}_sum", "corner_shape"], [name]),
    ]


def _save(path: Path, contract: GraphContract, nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray]) -> Path:
    graph = helper.make_graph(
        nodes,
        contract.component,
        [helper.make_tensor_value_info(s.name, TensorProto.FLOAT, s.shape) for s in contract.inputs],
        [helper.make_tensor_value_info(s.name, TensorProto.FLOAT, s.shape) for s in contract.outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path
