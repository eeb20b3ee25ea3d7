"""Hugging Face optimum's own export of SAM ViT, as `optimum-cli export onnx --task feature-extraction` makes it.

    python run.py REQUEST.json RESULT.json

The architecture is the model's and the weights are random, so that its speed says something and its masks nothing:
transformers keeps SAM's weights in a layout of its own. It exports points only, no boxes and no masks fed back.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

import torch
from optimum.exporters.onnx import onnx_export_from_model
from transformers import SamConfig, SamModel, SamVisionConfig

# What differs between the sizes: width, depth, heads, blocks that look at the whole picture.
SIZES = {
    "sam_vit_b": (768, 12, 12, (2, 5, 8, 11)),
    "sam_vit_l": (1024, 24, 16, (5, 11, 17, 23)),
    "sam_vit_h": (1280, 32, 16, (7, 15, 23, 31)),
}
FILES = {"image_encoder": "vision_encoder.onnx", "mask_decoder": "prompt_encoder_mask_decoder.onnx"}


def main() -> None:
    request = json.loads(Path(sys.argv[1]).read_text())
    size = SIZES.get(request["model"])
    if size is None:
        refused = f"it exports {', '.join(SIZES)}, and not {request['model']}"
        Path(sys.argv[2]).write_text(json.dumps({"refused": refused}))
        return
    width, depth, heads, whole = size
    torch.manual_seed(0)
    vision = SamVisionConfig(
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        global_attn_indexes=list(whole),
        mlp_dim=4 * width,
    )
    model = SamModel(SamConfig(vision_config=vision.to_dict())).eval()
    onnx_export_from_model(model, Path(request["out"]), task="feature-extraction", do_validation=False)
    made_by = f"optimum-onnx {version('optimum-onnx')}, transformers {version('transformers')}, random weights"
    answer = {"made_by": made_by, "engine": "onnxruntime", "form": "optimum", "files": FILES}
    Path(sys.argv[2]).write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
