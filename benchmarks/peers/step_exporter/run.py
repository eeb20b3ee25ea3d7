"""The first step from the plain export to a bundle: upstream's modules, unchanged, through this project's exporter.

    python run.py REQUEST.json RESULT.json

Runs in this project's own environment, as `plain` does, and is no other program: it tells what the exporter brings.
"""

from __future__ import annotations

from sam_export.benchmarks.step_graphs import run_step
from sam_export.exporters import export

if __name__ == "__main__":
    run_step(lambda model: model, export)
