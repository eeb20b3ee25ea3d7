"""Which layers of a graph bring its error in: each one alone, fed with what PyTorch's layers take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from ..contract import Array, Graph
from ..models import Component
from ..triton_layout import onnx_file
from .layer_points import Point
from .layer_reference import ReferenceValues, run_reference
from .layer_values import LayerValues
from .metrics import SNR_CAP_DB

FLOATS = {"fp32", "fp16"}
MOST_NAMED = 3
# A layer that brings in a tenth of the noise of the worst one, or less, is not what fails.
NAMED_WITHIN_DB = 10.0
# Where fewer of the modules are found, an error would be laid at the door of one that comes long after it.
LEAST_SHARE = 0.3
# The errors of 150 layers add up to 22 dB more than one of them, and attention and norms can double that.
ADDS_UP_TO_DB = 45.0


@dataclass(frozen=True)
class LayerScore:
    """The least SNR of what a module's own operations make; "" is the component's code outside of its modules."""

    module: str
    snr_db: float
    has_parts: bool = False

    @property
    def name(self) -> str:
        """The module's dotted name; where the modules in it are not meant, it says so."""
        if not self.module:
            return "operations outside of any module"
        return f"{self.module} between its parts" if self.has_parts else self.module


def layer_scores(graph: Graph, component: Component, feeds: Mapping[str, Array]) -> tuple[LayerScore, ...]:
    """Return the layers of a graph, the worst one first; none if most of them cannot be found in it.

    Raises:
        UnsupportedError: the layers' values are too large.
        BundleError, ContractError: the graph cannot be read, or its parts do not run.
    """
    reference = run_reference(component, feeds)
    values = LAYER_VALUES[graph.target](graph)
    points = values.points(reference)
    if {graph.recipe.storage, graph.recipe.precision} - FLOATS:
        points = without_moved_scales(points, component, reference)
    modules = tuple(reference.modules)
    if len({point.module for point in points}) < LEAST_SHARE * len(modules):
        return ()
    del reference  # it holds more values than the points do
    snr_db = values.snr_db(feeds, points)
    settled = values.in_known_layout(feeds, points, snr_db)
    if len(settled) < len(points):
        points, snr_db = settled, values.snr_db(feeds, settled)
    return rank(points, snr_db, modules)


def without_moved_scales(
    points: Sequence[Point], component: Component, reference: ReferenceValues
) -> tuple[Point, ...]:
    """Return the points without those between layers that a quantizer may have moved scales between.

    What is between them then is no longer what PyTorch has there, though what comes after them is.
    """
    moved: set[int] = set()
    for migration in component.migrations:
        moved.update(id(tensor) for tensor in reference.modules[migration.producer].outputs)
        moved.update(id(tensor) for name in migration.consumers for tensor in reference.modules[name].inputs)
    return tuple(point for point in points if id(point.reference) not in moved)


def rank(points: Sequence[Point], snr_db: Sequence[float], modules: Sequence[str]) -> tuple[LayerScore, ...]:
    """Return one score for each module that made a value, its least one, in rising order."""
    least: dict[str, float] = {}
    for point, found in zip(points, snr_db, strict=True):
        least[point.module] = min(found, least.get(point.module, SNR_CAP_DB))
    scores = [
        LayerScore(module, found, any(other.startswith(f"{module}.") for other in modules))
        for module, found in least.items()
    ]
    return tuple(sorted(scores, key=lambda score: score.snr_db))


def describe(scores: Sequence[LayerScore], component: str, component_snr_db: float) -> str:
    """Return a phrase that names the layers at fault, or says that none can be.

    Args:
        component_snr_db: the SNR of what the component gives when all of its layers run one after the other.
    """
    if not scores:
        return f"the {component}'s layers cannot be told apart, as its graph does not name them"
    worst = scores[0].snr_db
    named = [score for score in scores if score.snr_db < worst + NAMED_WITHIN_DB][:MOST_NAMED]
    listed = ", ".join(f"{score.name} ({_text(score.snr_db)})" for score in named)
    if worst > component_snr_db + ADDS_UP_TO_DB:
        return f"no layer of the {component} explains it alone (worst: {listed}), so the engine may join them wrongly"
    middle = median(score.snr_db for score in scores)
    return f"the {component}'s worst layers: {listed}; the median of {len(scores)} is {_text(middle)}"


def _text(snr_db: float) -> str:
    return "NaN or infinity" if snr_db <= -SNR_CAP_DB else f"{snr_db:.1f} dB"


def _onnx(graph: Graph) -> LayerValues:
    from .layer_values_onnx import OnnxLayerValues

    return OnnxLayerValues(graph)


def _openvino(graph: Graph) -> LayerValues:
    from .layer_values_openvino import OpenVinoLayerValues

    return OpenVinoLayerValues(graph)


def _coreml(graph: Graph) -> LayerValues:
    from .layer_values_mil import MilLayerValues

    return MilLayerValues(graph)


def _triton(graph: Graph) -> LayerValues:
    file = onnx_file(graph.path, graph.contract.component)
    return _onnx(replace(graph, target="onnx", path=file, files=(file.name,)))


LAYER_VALUES: Mapping[str, Callable[[Graph], LayerValues]] = {
    "onnx": _onnx,
    "openvino": _openvino,
    "coreml": _coreml,
    "web": _onnx,
    "triton": _triton,
}
