"""The plain export's two graphs through onnxruntime's `quantize_dynamic`, with the options of the usual scripts.

    python run.py REQUEST.json RESULT.json

Those are segment-anything's `scripts/export_onnx_model.py` (`--quantize-out`) and samexporter's `export_encoder.py` and
`export_decoder.py`: per tensor, full range, unsigned 8-bit weights, every kind of op that it knows.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import onnxruntime
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.quantize import quantize_dynamic


def main() -> None:
    request = json.loads(Path(sys.argv[1]).read_text())
    files = {}
    for name, path in request["plain"].items():
        files[name] = f"{name}.onnx"
        quantize_dynamic(
            model_input=path,
            model_output=Path(request["out"]) / files[name],
            per_channel=False,
            reduce_range=False,
            weight_type=QuantType.QUInt8,
        )
    answer = {
        "made_by": f"onnxruntime {onnxruntime.__version__}, quantize_dynamic",
        "engine": "onnxruntime",
        "form": "one_prompt",
        "files": files,
    }
    Path(sys.argv[2]).write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
