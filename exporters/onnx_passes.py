"""The passes that turn a raw trace into the graph that is shipped.

Own code only where no library does it: shape arithmetic and folding without growth (`onnx_shapes`, `onnx_folding`).
General simplifiers were measured and left out: onnxslim stores the attention biases expanded (27.9 MB instead of 23.4),
turns every linear layer into Reshape-Gemm-Reshape, and leaves the decoder's shape arithmetic in place; onnxsim makes
`com.microsoft.Attention`; onnxscript's optimizer leaves up to twice as many ops.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir
from onnx_ir.passes import common

from .onnx_checks import check_domains, check_types
from .onnx_folding import fold_constants
from .onnx_quantized import store_rounded
from .onnx_shapes import resolve_shapes

MAX_ROUNDS = 20


def clean(model: ir.Model) -> ir.Model:
    """Return the model simplified, op domains checked after every pass. Works in place."""
    _run(model, "lifting constants", common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0))
    for _ in range(MAX_ROUNDS):
        infer_shapes(model)
        changed = [step(model) for step in (resolve_shapes, fold_constants, store_rounded, _remove_noops)]
        _run(model, "removing unused nodes", common.RemoveUnusedNodesPass())
        check_domains(model, "simplification")
        if not any(changed):
            break
    else:
        raise AssertionError("simplification does not settle")
    _run(model, "sharing constants", common.DeduplicateHashedInitializersPass(size_limit=2**31))
    _run(model, "sharing nodes", common.CommonSubexpressionEliminationPass())
    _run(model, "removing unused nodes", common.RemoveUnusedNodesPass())
    infer_shapes(model)
    check_types(model)
    return model


def infer_shapes(model: ir.Model) -> None:
    """Forget inferred shapes and infer them anew, so that a constant found in between is made use of."""
    kept = {*model.graph.inputs, *model.graph.outputs}
    for node in model.graph:
        for output in node.outputs:
            if output not in kept:
                output.shape = None
    _run(model, "shape inference", common.ShapeInferencePass(data_prop=True))


def _run(model: ir.Model, step: str, graph_pass: Callable[[ir.Model], object]) -> None:
    graph_pass(model)
    check_domains(model, step)


def _remove_noops(model: ir.Model) -> bool:
    """Cast to the type that a value has, Identity, Transpose that changes nothing: use the input instead."""
    changed = False
    for node in list(model.graph):
        source = node.inputs[0] if node.inputs else None
        if source is None or not node.outputs[0].uses() or not _is_noop(node, source):
            continue
        if node.outputs[0].is_graph_output():
            continue
        ir.convenience.replace_all_uses_with(node.outputs[0], source)
        changed = True
    return changed


def _is_noop(node: ir.Node, source: ir.Value) -> bool:
    match node.op_type:
        case "Identity":
            return True
        case "Cast":
            return source.dtype is not None and int(source.dtype) == node.attributes.get_int("to")
        case "Transpose":
            order = list(node.attributes.get_ints("perm", []))
            return bool(order) and order == sorted(order)
    return False
