"""The naive baseline: upstream's image encoder and mask decoder through `torch.onnx.export`, and nothing else.

    python run.py REQUEST.json RESULT.json

fp32, opset 17, no passes, the weights in the file; the decoder takes one prompt of any number of points, as upstream's
ONNX model does. Every ratio to "the plain export" that this project quotes is to these two graphs on onnxruntime's CPU
provider. Runs in this project's own environment, whose torch and onnx are pinned; see `benchmarks/plain_modules.py` for
the modules.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import onnx
import torch
from torch import nn

from sam_export.benchmarks.plain_modules import plain_modules
from sam_export.contract import GraphContract
from sam_export.models import find, load, untrained
from sam_export.models.components import example_inputs

OPSET = 17


def export(module: nn.Module, contract: GraphContract, path: Path) -> None:
    points = {name: {1: "N"} for name in ("point_coords", "point_labels") if name in contract.input_names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer calls itself deprecated
        torch.onnx.export(
            module,
            example_inputs(contract, batch=1, points=2),
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=list(contract.input_names),
            output_names=list(contract.output_names),
            dynamic_axes={} if fixed_points(contract) else points,
        )


def fixed_points(contract: GraphContract) -> bool:
    """Whether a decoder always gets the same number of points."""
    return any(spec.name == "point_coords" and isinstance(spec.shape[1], int) for spec in contract.inputs)


def main() -> None:
    request = json.loads(Path(sys.argv[1]).read_text())
    checkpoint = None if request["checkpoint"] is None else Path(request["checkpoint"])
    seed = request["seed"]
    model = load(request["model"], checkpoint) if seed is None else untrained(find(request["model"]), seed)
    files = {}
    for name, (module, contract) in plain_modules(model).items():
        files[name] = f"{name}.onnx"
        export(module, contract, Path(request["out"]) / files[name])
    made_by = f"torch {torch.__version__}, onnx {onnx.__version__}, opset {OPSET}"
    answer = {"made_by": made_by, "engine": "onnxruntime", "form": "one_prompt", "files": files}
    Path(sys.argv[2]).write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
