"""Plans that a search found beforehand for the built-in checkpoints, so that nobody has to wait for it again.

A plan holds for one checkpoint, named by hash. `sam-export MODEL --target T --precision int8 --search` searches anew.
"""

from __future__ import annotations

from importlib.resources import files

from ..search_record import Preferred, SearchRecord, decode_records
from .plan import QuantizationPlan, decode_plan

FOLDER = "found"
# Targets whose graphs are another one's, so that plans found for that hold for them until one of their own is found.
SAME_GRAPHS = {"web": "onnx"}


def found_plan(
    model: str, checkpoint_sha256: str, target: str, precision: str, prefer: Preferred = "speed"
) -> tuple[QuantizationPlan | None, tuple[SearchRecord, ...]]:
    """Return the plan for this checkpoint, target and precision with the record of its search, or None and nothing."""
    name = f"{model}-{target}-{precision}" if prefer == "speed" else f"{model}-{target}-{precision}-{prefer}"
    text = _read(f"{name}.json")
    if text is None and target in SAME_GRAPHS:
        # Its search is not told of: what it timed is another engine.
        return found_plan(model, checkpoint_sha256, SAME_GRAPHS[target], precision, prefer)[0], ()
    plan = decode_plan(text, name) if text is not None else None
    if plan is None or plan.checkpoint_sha256 != checkpoint_sha256:
        return None, ()
    record = _read(f"{name}-search.json")
    return plan, decode_records(record, name) if record is not None else ()


def found_names() -> tuple[str, ...]:
    """Return what ships with the package, each as `model-target-precision` or `model-target-precision-prefer`."""
    names = (entry.name for entry in files(__package__).joinpath(FOLDER).iterdir())
    plans = (name.removesuffix(".json") for name in names if name.endswith(".json"))
    return tuple(sorted(name for name in plans if not name.endswith("-search")))


def _read(name: str) -> bytes | None:
    entry = files(__package__).joinpath(FOLDER, name)
    return entry.read_bytes() if entry.is_file() else None
