"""Checks that every engine makes: a graph's tensors and a caller's arrays against the contract, and the options.

Nothing here converts, reorders or fills in; what does not fit is an error that says what would.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..contract import Array, EngineOptions, GraphContract, TensorSpec
from ..errors import BundleError, ContractError, RequestError, one_line


@dataclass(frozen=True)
class GraphTensor:
    """An input or output as a graph on disk declares it; None is a dynamic axis."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


def require_file(path: Path) -> None:
    if not path.is_file():
        raise BundleError(f"{path}: no such file; export or copy the bundle again")


def check_options(options: EngineOptions, engine: str) -> None:
    if options.threads is not None and options.threads < 1:
        raise RequestError(f"{engine}: threads={options.threads}; give 1 or more, or None for the engine's own choice")


def check_graph(
    path: Path, contract: GraphContract, inputs: Sequence[GraphTensor], outputs: Sequence[GraphTensor]
) -> None:
    """Raise ContractError unless the graph's tensors are the contract's, in order: names, shapes, dtypes."""
    _check_side(path, "inputs", contract.inputs, inputs)
    _check_side(path, "outputs", contract.outputs, outputs)


def _check_side(path: Path, side: str, wanted: Sequence[TensorSpec], found: Sequence[GraphTensor]) -> None:
    wanted_names, found_names = [spec.name for spec in wanted], [tensor.name for tensor in found]
    if wanted_names != found_names:
        raise ContractError(f"{path}: {side} are {found_names}, the contract says {wanted_names}; export it again")
    for spec, tensor in zip(wanted, found, strict=True):
        expected = (tuple(None if isinstance(size, str) else size for size in spec.shape), spec.dtype)
        if (tensor.shape, tensor.dtype) != expected:
            raise ContractError(
                f"{path}: {spec.name} is {tensor.dtype} {_text(tensor.shape)}, "
                f"the contract says {spec.dtype} {_text(spec.shape)}; export it again"
            )


def check_feeds(contract: GraphContract, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Return the feeds in the contract's order, C-contiguous.

    Raises:
        ContractError: a name, dtype or shape is not the contract's, or two inputs disagree on a dynamic axis.
    """
    if set(feeds) != set(contract.input_names):
        raise ContractError(f"{contract.component}: fed {sorted(feeds)}, it takes {list(contract.input_names)}")
    axes: dict[str, int] = {}
    for spec in contract.inputs:
        _check_feed(contract.component, spec, feeds[spec.name], axes)
    return {name: np.ascontiguousarray(feeds[name]) for name in contract.input_names}


def check_results(contract: GraphContract, feeds: Mapping[str, Array], results: Mapping[str, Array]) -> None:
    """Raise ContractError unless a graph gave what its contract says for these feeds: engines do not hold it to that.

    Dtypes are as they were declared, which `check_graph` has seen.
    """
    axes: dict[str, int] = {}
    for spec in contract.inputs:
        _has_shape(feeds[spec.name], spec, axes)
    for spec in contract.outputs:
        if not _has_shape(results[spec.name], spec, axes):
            raise ContractError(
                f"{contract.component}: gave {spec.name} of shape {_text(results[spec.name].shape)}, the contract says "
                f"{_text(spec.shape)}; export it again"
            )


def _has_shape(array: Array, spec: TensorSpec, axes: dict[str, int]) -> bool:
    """Return whether an array has the shape; in `axes` are bound the dynamic axes that it is the first to show."""
    return array.ndim == len(spec.shape) and all(
        size == (axes.setdefault(axis, size) if isinstance(axis, str) else axis) and size > 0
        for size, axis in zip(array.shape, spec.shape, strict=True)
    )


def _check_feed(component: str, spec: TensorSpec, array: Array, axes: dict[str, int]) -> None:
    if str(array.dtype) != spec.dtype:
        raise ContractError(f"{component}: {spec.name} is {array.dtype}, it takes {spec.dtype}; convert it first")
    if not _has_shape(array, spec, axes):
        bound = f" with {', '.join(f'{axis}={size}' for axis, size in axes.items())}" if axes else ""
        raise ContractError(
            f"{component}: {spec.name} has shape {_text(array.shape)}, it takes {_text(spec.shape)}{bound}"
        )


@contextmanager
def running(subject: str) -> Iterator[None]:
    """Turn what an engine raises while it runs a graph, whose feeds were checked, into a ContractError."""
    try:
        yield
    except Exception as exc:  # engines raise types of their own, and about anything on a hostile graph
        raise ContractError(f"{subject}: the graph fails on this input ({one_line(exc)}); export it again") from exc


def _text(shape: Sequence[int | str | None]) -> str:
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"
