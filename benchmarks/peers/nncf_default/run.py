"""The plain export's image encoder through NNCF's default int8, as OpenVINO's documentation shows it.

    python run.py REQUEST.json RESULT.json

`nncf.quantize(model, dataset)` with nothing else given, on this project's calibration pictures. The mask decoder stays
in fp32: calibrating it needs prompts, which that recipe has no word for.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nncf
import numpy as np
import openvino


def main() -> None:
    request = json.loads(Path(sys.argv[1]).read_text())
    out = Path(request["out"])
    pictures = [picture[None] for picture in np.load(request["calibration"])]
    encoder = openvino.convert_model(request["plain"]["image_encoder"])
    made = nncf.quantize(encoder, nncf.Dataset(pictures))
    openvino.save_model(made, out / "image_encoder.xml", compress_to_fp16=False)
    decoder = openvino.convert_model(request["plain"]["mask_decoder"])
    openvino.save_model(decoder, out / "mask_decoder.xml", compress_to_fp16=False)
    answer = {
        "made_by": f"nncf {nncf.__version__} on openvino {openvino.__version__}, {len(pictures)} pictures",
        "engine": "openvino",
        "form": "one_prompt",
        "files": {"image_encoder": "image_encoder.xml", "mask_decoder": "mask_decoder.xml"},
    }
    Path(sys.argv[2]).write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
