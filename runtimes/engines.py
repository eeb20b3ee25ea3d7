"""Which engine runs a target's graphs. Each is imported when it is first opened, and not before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from ..contract import EngineOptions, GraphContract, Recipe, Session
from ..errors import UnsupportedError
from ..triton_layout import onnx_file

EngineOpener = Callable[[Path, GraphContract, EngineOptions], Session]


def _onnxruntime(path: Path, contract: GraphContract, options: EngineOptions) -> Session:
    from .onnxruntime_engine import OnnxRuntimeSession

    return OnnxRuntimeSession(path, contract, options)


def _openvino(path: Path, contract: GraphContract, options: EngineOptions) -> Session:
    from .openvino_engine import OpenVinoSession

    return OpenVinoSession(path, contract, options)


def _coreml(path: Path, contract: GraphContract, options: EngineOptions) -> Session:
    from .coreml_engine import CoreMlSession

    return CoreMlSession(path, contract, options)


def _triton(path: Path, contract: GraphContract, options: EngineOptions) -> Session:
    """Triton runs ONNX graphs with onnxruntime, too."""
    return _onnxruntime(onnx_file(path, contract.component), contract, options)


ENGINES: Mapping[str, EngineOpener] = {
    "onnx": _onnxruntime,
    "openvino": _openvino,
    "coreml": _coreml,
    "web": _onnxruntime,
    "triton": _triton,
}
# Core ML chooses its precision per compute unit and takes no wish.
PINNED_TARGETS = ("onnx", "openvino", "web", "triton")


def open_session(
    graph_path: Path, contract: GraphContract, target: str, recipe: Recipe, options: EngineOptions | None = None
) -> Session:
    """Return one graph, ready to run.

    Raises:
        UnsupportedError: no engine for this target, or this machine cannot do what the options ask.
        MissingDependencyError: the engine's package is not installed.
        BundleError, ContractError: the file is not the graph that the contract describes.
    """
    opener = ENGINES.get(target)
    if opener is None:
        raise UnsupportedError(
            f"{graph_path}: no Python engine runs target {target!r}; there are some for: {', '.join(ENGINES)}"
        )
    return opener(graph_path, contract, verified_options(target, recipe, options))


def verified_options(target: str, recipe: Recipe, options: EngineOptions | None) -> EngineOptions:
    """Return the options with the recipe's compute precision, unless the caller asks for one or for a provider.

    Another provider than the one that the recipe was verified on may not have that precision, so it keeps its own.
    """
    asked = options or EngineOptions()
    if target not in PINNED_TARGETS or asked.compute_precision is not None or asked.provider is not None:
        return asked
    return replace(asked, compute_precision=recipe.compute)
