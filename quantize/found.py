"""Plans that a search found beforehand for the built-in checkpoints, so that nobody has to wait for it again.

A plan holds for one checkpoint, named by hash. `sam-export MODEL --target T --precision int8 --search` searches anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

from ..contract import ComponentName
from ..search_record import Preferred, SearchPoint, SearchRecord, decode_records
from .plan import QuantizationPlan, decode_plan
from .recipes import STORED

FOLDER = "found"
# Targets whose graphs are another one's, so that plans found for that hold for them until one of their own is found.
SAME_GRAPHS = {"web": "onnx"}


def found_plan(
    model: str, checkpoint_sha256: str, target: str, precision: str, prefer: Preferred = "speed"
) -> tuple[QuantizationPlan | None, tuple[SearchRecord, ...]]:
    """Return the plan for this checkpoint, target and precision with the record of its search, or None and nothing."""
    name = _name(model, target, precision, prefer)
    text = _read(f"{name}.json")
    if text is None and target in SAME_GRAPHS:
        # Its search is not told of: what it timed is another engine.
        plan = found_plan(model, checkpoint_sha256, SAME_GRAPHS[target], precision, prefer)[0]
        return (plan if plan is not None and _can_be_stored(plan, target) else None), ()
    plan = decode_plan(text, name) if text is not None else None
    if plan is None or plan.checkpoint_sha256 != checkpoint_sha256:
        return None, ()
    return plan, _records(name)


def found_points(
    model: str, target: str, precision: str, prefer: Preferred = "speed"
) -> Mapping[ComponentName, SearchPoint]:
    """Return what the search measured of each component of its plan; masks are those of a target with the same graphs.

    A component without a record is missing.
    """
    own = _name(model, target, precision, prefer)
    borrowed = target in SAME_GRAPHS and _read(f"{own}.json") is None
    name = _name(model, SAME_GRAPHS[target], precision, prefer) if borrowed else own
    return {one.component: one.chosen for one in _records(name) if one.chosen is not None}


def found_names() -> tuple[str, ...]:
    """Return what ships with the package, each as `model-target-precision` or `model-target-precision-prefer`."""
    names = (entry.name for entry in files(__package__).joinpath(FOLDER).iterdir())
    plans = (name.removesuffix(".json") for name in names if name.endswith(".json"))
    return tuple(sorted(name for name in plans if not name.endswith("-search")))


def _name(model: str, target: str, precision: str, prefer: Preferred) -> str:
    return f"{model}-{target}-{precision}{'' if prefer == 'speed' else f'-{prefer}'}"


def _can_be_stored(plan: QuantizationPlan, target: str) -> bool:
    kinds = {one.weights for component in plan.components.values() for one in component.layers}
    return kinds <= {"float", *STORED[target]}


def _records(name: str) -> tuple[SearchRecord, ...]:
    text = _read(f"{name}-search.json")
    return decode_records(text, name) if text is not None else ()


def _read(name: str) -> bytes | None:
    entry = files(__package__).joinpath(FOLDER, name)
    return entry.read_bytes() if entry.is_file() else None
