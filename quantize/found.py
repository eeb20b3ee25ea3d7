"""Plans that a search found beforehand for the built-in checkpoints, so that nobody has to wait for it again.

A plan holds for one checkpoint, named by hash. `sam-export MODEL --target T --precision int8 --search` searches anew.
"""

from __future__ import annotations

from importlib.resources import files

from .plan import QuantizationPlan, decode_plan

FOLDER = "found"


def found_plan(model: str, checkpoint_sha256: str, target: str, precision: str) -> QuantizationPlan | None:
    """Return the plan for this checkpoint, target and precision, or None."""
    name = f"{model}-{target}-{precision}.json"
    entry = files(__package__).joinpath(FOLDER, name)
    if not entry.is_file():
        return None
    plan = decode_plan(entry.read_bytes(), name)
    return plan if plan.checkpoint_sha256 == checkpoint_sha256 else None
