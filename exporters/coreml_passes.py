"""What this project adds to coremltools' conversion: constants that stay compact, and ops that stay fp32."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from coremltools.converters.mil.mil import Builder, Operation, Program
from coremltools.converters.mil.mil.passes.pass_pipeline import PassPipeline
from coremltools.converters.mil.mil.passes.pass_registry import PASS_REGISTRY
from coremltools.converters.mil.mil.scope import ScopeInfo, ScopeSource

from .coreml_rounding import LINEAR_OF_ROUNDED

FOLD_CONSTANTS = "sam_export::fold_constants"
SMALL_LOOKUP = 1 << 10
SMALL_RESULT = 1 << 16
PERIODIC_OPS = ("sin", "cos")


class FoldConstants:
    """Replaces an op on constants by its result, unless that would store a small table expanded.

    Takes the place of coremltools' `common::const_elimination`, whose size limit cannot tell an expanded
    table from a weight that is cast to fp16.

        before   %bias = gather(x=%table[4, 196], indices=%offsets[196, 196], axis=1)
        theirs   %bias = const[4, 196, 196]
        ours     the gather stays, and so does what follows from it alone

    Kept: a `gather` with more than 1024 entries that repeats those of its table, and any other op that makes
    more than 65536 values out of fewer (the position of every image cell from one row and one column).
    """

    def __call__(self, program: Program) -> None:
        scope = ScopeInfo(source=ScopeSource.COREMLTOOLS_GRAPH_PASS, data=[FOLD_CONSTANTS])
        for function in program.functions.values():
            with Builder.scope(scope), function:
                for op in list(function.operations):
                    if _is_foldable(op):
                        _fold(op)

    def set_options(self, options: object) -> None:
        """The pipeline calls this for every pass; there are no options."""


PASS_REGISTRY.add("sam_export", FoldConstants, override=True, name="fold_constants")


def pass_pipeline() -> PassPipeline:
    """Return coremltools' default pipeline with `FoldConstants` wherever it folds constants, and `LinearOfRounded`
    where coremltools makes linear layers of products with constants.

    A pass that is missing from the main pipeline is left out of the backend's too, so nothing refolds.
    """
    pipeline = PassPipeline()
    passes = [FOLD_CONSTANTS if name == "common::const_elimination" else name for name in pipeline.passes]
    passes.insert(passes.index("common::fuse_matmul_weight_bias"), LINEAR_OF_ROUNDED)
    pipeline.passes = passes
    return pipeline


def _is_foldable(op: Operation) -> bool:
    if op.op_type == "const" or not all(output.can_be_folded_to_const() for output in op.outputs):
        return False
    if op.op_type == "shape":
        return True
    inputs = op.get_flattened_inputs()
    if any(var.val is not None and var.op.op_type != "const" for var in inputs):
        return False
    made = sum(np.size(output.val) for output in op.outputs)
    if op.op_type == "gather":
        return bool(made <= max(SMALL_LOOKUP, np.size(op.x.val)))
    return bool(made <= max(SMALL_RESULT, sum(np.size(var.val) for var in inputs if var.val is not None)))


def _fold(op: Operation) -> None:
    for output in op.outputs:
        constant = Builder.const(val=output.val, before_op=op, name=output.name)
        op.enclosing_block.replace_uses_of_var_after_op(
            anchor_op=op, old_var=output, new_var=constant, force_replace=op.op_type == "shape"
        )
        output.set_name(f"{output.name}_folded")
    op.remove_from_block()


class Fp16Selector:
    """Answers, for each op of a program, whether fp16 may hold it.

    No, for the ops that bear the name of a torch node in `float32_nodes`, for every sine and cosine, and for
    all that these are computed from: one rounded value upstream of a phase would undo the rest.
    """

    def __init__(self, float32_nodes: frozenset[str]) -> None:
        self._float32_nodes = float32_nodes
        self._kept: dict[Any, frozenset[Operation]] = {}

    def __call__(self, op: Operation) -> bool:
        # The pass rewrites the block while it asks, so the answer is settled at the first question.
        block = op.enclosing_block
        if block not in self._kept:
            seeds = (candidate for candidate in block.operations if self._is_seed(candidate))
            self._kept[block] = frozenset(_with_ancestors(seeds))
        return op not in self._kept[block]

    def _is_seed(self, op: Operation) -> bool:
        return op.op_type in PERIODIC_OPS or any(output.name in self._float32_nodes for output in op.outputs)


def _with_ancestors(seeds: Iterable[Operation]) -> set[Operation]:
    found: set[Operation] = set()
    waiting = list(seeds)
    while waiting:
        op = waiting.pop()
        if op not in found:
            found.add(op)
            waiting += [var.op for var in op.get_flattened_inputs() if var.op is not None]
    return found
