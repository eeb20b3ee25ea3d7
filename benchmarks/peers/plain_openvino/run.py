"""The plain export's two graphs converted for OpenVINO as its documentation says, weights left in fp32.

    python run.py REQUEST.json RESULT.json

Runs in this project's own environment, whose openvino is the one that bundles are timed with.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import openvino


def main() -> None:
    request = json.loads(Path(sys.argv[1]).read_text())
    files = {}
    for name, path in request["plain"].items():
        files[name] = f"{name}.xml"
        openvino.save_model(openvino.convert_model(path), Path(request["out"]) / files[name], compress_to_fp16=False)
    answer = {"made_by": f"openvino {openvino.__version__}", "engine": "openvino", "form": "one_prompt", "files": files}
    Path(sys.argv[2]).write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
