"""Operations that move values without computing: reshape, transpose, slices, pads, gathers, joins."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from ....errors import ContractError, UnsupportedError
from ..inputs import OpInputs, positive_axis

# 4 GiB in float32. The largest tensor of a SAM is the attention of ViT-H, 16 x 4096 x 4096.
MAX_ELEMENTS = 2**30


def check_size(shape: list[int]) -> list[int]:
    """Return `shape`; raises ContractError if a damaged package asks for more than MAX_ELEMENTS."""
    if any(side < 0 for side in shape) or math.prod(shape) > MAX_ELEMENTS:
        raise ContractError(f"a tensor of shape {shape}, at most {MAX_ELEMENTS} elements are allowed")
    return shape


def last_axis_first(before_after: list[int]) -> list[int]:
    """Return MIL's padding, [before, after] of the first axis first, in the order of `F.pad`."""
    pairs = [before_after[i : i + 2] for i in range(0, len(before_after), 2)]
    return [size for pair in reversed(pairs) for size in pair]


def _reshape(inputs: OpInputs) -> Tensor:
    """Reshape; 0 keeps the input's side at that place, -1 is what remains."""
    x, shape = inputs.tensor("x"), inputs.integers("shape")
    if 0 in shape and x.numel() != 0:
        if len(shape) != x.dim():
            raise ContractError(f"reshape of rank {x.dim()} to {shape}: 0 needs the same rank")
        shape = [side or x.shape[axis] for axis, side in enumerate(shape)]
    return x.reshape(shape)


def _transpose(inputs: OpInputs) -> Tensor:
    return inputs.tensor("x").permute(inputs.integers("perm"))


def _expand_dims(inputs: OpInputs) -> Tensor:
    """Insert axes of size 1; `axes` count in the output."""
    x, axes = inputs.tensor("x"), inputs.integers("axes")
    rank = x.dim() + len(axes)
    for axis in sorted(positive_axis(axis, rank) for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _squeeze(inputs: OpInputs) -> Tensor:
    x, axes = inputs.tensor("x"), inputs.optional_integers("axes")
    if axes is None:
        return x.squeeze()
    wide = [axis for axis in axes if x.shape[positive_axis(axis, x.dim())] != 1]
    if wide:
        raise ContractError(f"squeeze of axes {wide} of shape {list(x.shape)}: only sides of 1 can go")
    return x.squeeze(axes)


def _concat(inputs: OpInputs) -> Tensor:
    """Join on `axis`; scalars join as vectors of one, which is how a program builds a shape."""
    if inputs.flag("interleave"):
        raise UnsupportedError("concat: interleave=True; only False is evaluated")
    values = [value.reshape(1) if value.dim() == 0 else value for value in inputs.tensors("values")]
    return torch.cat(values, inputs.integer("axis"))


def _stack(inputs: OpInputs) -> Tensor:
    return torch.stack(inputs.tensors("values"), inputs.integer("axis"))


def _split(inputs: OpInputs) -> tuple[Tensor, ...]:
    x, axis = inputs.tensor("x"), inputs.integer("axis")
    sizes = inputs.optional_integers("split_sizes")
    if sizes is None:
        parts = inputs.integer("num_splits")
        sizes = [x.shape[axis] // parts] * parts
    return torch.split(x, sizes, axis)


def _tile(inputs: OpInputs) -> Tensor:
    x, reps = inputs.tensor("x"), inputs.integers("reps")
    if len(reps) != x.dim():
        raise ContractError(f"tile of rank {x.dim()} with {len(reps)} repetitions, one for each axis is needed")
    check_size([side * rep for side, rep in zip(x.shape, reps, strict=True)])
    return x.repeat(reps)


def _pad(inputs: OpInputs) -> Tensor:
    """Pad the last axes by `pad` = [before, after, ...], first of them first."""
    x, pad, mode = inputs.tensor("x"), inputs.integers("pad"), inputs.text("mode")
    if mode not in ("constant", "reflect", "replicate"):
        raise UnsupportedError(f"pad: mode {mode!r}; allowed: constant, reflect, replicate")
    first = x.dim() - len(pad) // 2
    check_size([x.shape[axis] + sum(pad[2 * (axis - first) :][:2]) for axis in range(max(first, 0), x.dim())])
    if mode == "constant":
        return F.pad(x, last_axis_first(pad), value=inputs.number("constant_val"))
    for place in range(len(pad) // 2):
        x = _edge_padded(x, first + place, pad[2 * place], pad[2 * place + 1], mode)
    return x


def _edge_padded(x: Tensor, axis: int, before: int, after: int, mode: str) -> Tensor:
    """Return `x` with the axis continued by its mirror image (the edge once) or by its edge."""
    last = x.shape[axis] - 1
    source = torch.arange(-before, last + 1 + after)
    source = last - (last - source.abs()).abs() if mode == "reflect" else source.clamp(0, last)
    return x.index_select(axis, source)


def _slice_by_index(inputs: OpInputs) -> Tensor:
    """Return x[begin:end:stride] by numpy's rules on each axis; a masked bound is open, a squeezed axis goes."""
    x, begin, end = inputs.tensor("x"), inputs.integers("begin"), inputs.integers("end")
    ones, zeros = [1] * x.dim(), [0] * x.dim()
    stride = inputs.optional_integers("stride") or ones
    open_begin, open_end, squeezed = (
        inputs.optional_integers(name) or zeros for name in ("begin_mask", "end_mask", "squeeze_mask")
    )
    for axis in reversed(range(x.dim())):
        if squeezed[axis]:
            x = x.select(axis, 0 if open_begin[axis] else begin[axis])
            continue
        bounds = slice(None if open_begin[axis] else begin[axis], None if open_end[axis] else end[axis], stride[axis])
        x = _sliced(x, axis, bounds)
    return x


def _sliced(x: Tensor, axis: int, bounds: slice) -> Tensor:
    start, stop, step = bounds.indices(x.shape[axis])
    if step > 0:
        return x[(slice(None),) * axis + (slice(start, max(stop, start), step),)]
    return x.index_select(axis, torch.tensor(range(start, stop, step), dtype=torch.int64))


def _slice_by_size(inputs: OpInputs) -> Tensor:
    """Return `size` elements from `begin` on each axis; -1 takes all that remain."""
    x = inputs.tensor("x")
    for axis, (begin, size) in enumerate(zip(inputs.integers("begin"), inputs.integers("size"), strict=True)):
        x = x.narrow(axis, begin, x.shape[axis] - begin % x.shape[axis] if size == -1 else size)
    return x


def _shape(inputs: OpInputs) -> Tensor:
    return torch.tensor(inputs.tensor("x").shape, dtype=torch.int32)


def _fill(inputs: OpInputs) -> Tensor:
    value = inputs.tensor("value")
    return torch.full(check_size(inputs.integers("shape")), value.item(), dtype=value.dtype)


def _range_1d(inputs: OpInputs) -> Tensor:
    start, end, step = (inputs.tensor(name) for name in ("start", "end", "step"))
    check_size([math.ceil((end.item() - start.item()) / step.item())])
    return torch.arange(start.item(), end.item(), step.item(), dtype=start.dtype)


def _no_batch(inputs: OpInputs) -> None:
    if inputs.has("batch_dims") and inputs.integer("batch_dims") != 0:
        raise UnsupportedError(f"gather: batch_dims {inputs.integer('batch_dims')}; only 0 is evaluated")


def _gather(inputs: OpInputs) -> Tensor:
    """Return the slices of `x` at `indices` on `axis`; a negative index counts from the end."""
    _no_batch(inputs)
    x, indices = inputs.tensor("x"), inputs.tensor("indices").long()
    axis = positive_axis(inputs.integer("axis"), x.dim())
    indices = torch.where(indices < 0, indices + x.shape[axis], indices)
    picked = x.index_select(axis, indices.reshape(-1))
    return picked.reshape(x.shape[:axis] + indices.shape + x.shape[axis + 1 :])


def _gather_along_axis(inputs: OpInputs) -> Tensor:
    x, indices, axis = inputs.tensor("x"), inputs.tensor("indices").long(), inputs.integer("axis")
    return torch.gather(x, axis, torch.where(indices < 0, indices + x.shape[axis], indices))


def _gather_nd(inputs: OpInputs) -> Tensor:
    """Return x[indices[..., 0], indices[..., 1], ...]."""
    _no_batch(inputs)
    return inputs.tensor("x")[tuple(inputs.tensor("indices").long().unbind(-1))]


HANDLERS: Mapping[str, Callable[[OpInputs], Tensor | tuple[Tensor, ...]]] = {
    "concat": _concat,
    "expand_dims": _expand_dims,
    "fill": _fill,
    "gather": _gather,
    "gather_along_axis": _gather_along_axis,
    "gather_nd": _gather_nd,
    "pad": _pad,
    "range_1d": _range_1d,
    "reshape": _reshape,
    "shape": _shape,
    "slice_by_index": _slice_by_index,
    "slice_by_size": _slice_by_size,
    "split": _split,
    "squeeze": _squeeze,
    "stack": _stack,
    "tile": _tile,
    "transpose": _transpose,
}
VIEWS: frozenset[str] = frozenset(HANDLERS) - {"fill", "range_1d", "shape"}
