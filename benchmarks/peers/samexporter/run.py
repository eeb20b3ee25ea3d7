"""samexporter's own export, by the commands in its README: `--use-preprocess`, its own opset, fp32.

    python run.py REQUEST.json RESULT.json

It takes SAM ViT and MobileSAM; the weights are this project's, in upstream's layout. Its decoder brings the masks to
the picture's size inside the graph. Its pinned torch and torchvision are not installed: it runs with this project's
torch, and where torchvision or timm cannot be imported, with plain functions in place of those that it uses.
"""

from __future__ import annotations

import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
import stand_ins

TORCHVISION = stand_ins.provide("torchvision", stand_ins.TORCHVISION)
TIMM = stand_ins.provide("timm", stand_ins.TIMM)
from samexporter import export_decoder, export_encoder
from samexporter.mobile_encoder.setup_mobile_sam import setup_model

from sam_export.models import find, load, untrained

TYPES = {"sam_vit_b": "vit_b", "sam_vit_l": "vit_l", "sam_vit_h": "vit_h", "mobile_sam": "mobile"}
OPSET = 18  # its default


def checkpoint(request: dict[str, str | int | None], path: Path, kind: str) -> None:
    """Write the weights as upstream publishes them; what MobileSAM's file has beyond a model's use is left as made."""
    given, seed, name = request["checkpoint"], request["seed"], request["model"]
    model = load(name, None if given is None else Path(given)) if seed is None else untrained(find(name), seed)
    state = setup_model().state_dict() if kind == "mobile" else {}
    torch.save({**state, **model.module.state_dict()}, path)


def main() -> None:
    request = json.loads(Path(sys.argv[1]).read_text())
    kind = TYPES.get(request["model"])
    if kind is None:
        refused = f"it exports {', '.join(TYPES)}, and not {request['model']}"
        Path(sys.argv[2]).write_text(json.dumps({"refused": refused}))
        return
    files = {"image_encoder": "image_encoder.onnx", "mask_decoder": "mask_decoder.onnx"}
    paths = {name: str(Path(request["out"]) / file) for name, file in files.items()}
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.pth"
        checkpoint(request, weights, kind)
        export_encoder.run_export(kind, str(weights), paths["image_encoder"], use_preprocess=True, opset=OPSET)
        export_decoder.run_export(kind, str(weights), paths["mask_decoder"], opset=OPSET, return_single_mask=False)
    made_by = f"samexporter {version('samexporter')}, torch {torch.__version__}, timm {TIMM}"
    answer = {"made_by": made_by, "engine": "onnxruntime", "form": "samexporter", "files": files}
    Path(sys.argv[2]).write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
