"""The second step from the plain export to a bundle: batch norms in their convolutions, and a decoder that projects a
prompt's few tokens instead of a picture's thousands of cells. What is left to a bundle is the order of axes.

    python run.py REQUEST.json RESULT.json

Runs in this project's own environment, as `plain` does, and is no other program: it tells what that rewriting brings.
"""

from __future__ import annotations

from sam_export.benchmarks.step_graphs import folded_and_projected, run_step
from sam_export.exporters import export

if __name__ == "__main__":
    run_step(folded_and_projected, export)
