"""Upstream's own automatic mask generator, in PyTorch eager, on this project's weights.

    python run.py REQUEST.json RESULT.json

Runs in an environment of its own, by name, and imports nothing of this project but its models. Prompt encoder, mask
decoder, predictor and generator are those of the package segment-anything; the image encoder is the one that upstream
does not have. Where torchvision cannot be imported, four of its functions are replaced (`stand_ins.py`).
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))
import stand_ins

TORCHVISION = stand_ins.provide("torchvision", stand_ins.TORCHVISION)
# Only now: they import torchvision, which stands in place by here.
from segment_anything import SamAutomaticMaskGenerator
from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

from sam_export.models import VARIANTS, load


class SizedEncoder(nn.Module):
    """An image encoder with the attribute that upstream reads."""

    def __init__(self, encoder: nn.Module, side: int) -> None:
        super().__init__()
        self.encoder, self.img_size = encoder, side

    def forward(self, image: Tensor) -> Tensor:
        return self.encoder(image)


class SingleMaskDecoder(MaskDecoder):
    """Answers with the one mask that a model was trained to give, where upstream's generator asks for three."""

    def forward(self, *args, **kwargs):
        return super().forward(*args, **{**kwargs, "multimask_output": False})


class MinMaxSam(Sam):
    """Normalises as LiteMedSAM does: the whole picture to 0..1, then zeros."""

    def preprocess(self, x: Tensor) -> Tensor:
        x = (x - x.min()) / (x.max() - x.min()).clamp(min=1e-8)
        side = self.image_encoder.img_size
        return nn.functional.pad(x, (0, side - x.shape[-1], 0, side - x.shape[-2]))


def upstream_sam(name: str, checkpoint: Path | None) -> Sam:
    """Return upstream's `Sam` with this project's weights."""
    variant, module = VARIANTS[name], load(name, checkpoint).module
    side, cells = variant.decoder.frame_size, variant.decoder.embedding_size
    prompt_encoder = PromptEncoder(
        embed_dim=256, image_embedding_size=(cells, cells), input_image_size=(side, side), mask_in_chans=16
    )
    kind = MaskDecoder if variant.mask_rule.multimask_tokens else SingleMaskDecoder
    mask_decoder = kind(
        num_multimask_outputs=3,
        transformer=TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8),
        transformer_dim=256,
        iou_head_depth=3,
        iou_head_hidden_dim=256,
    )
    for part, own in (("prompt_encoder", prompt_encoder), ("mask_decoder", mask_decoder)):
        own.load_state_dict(module.get_submodule(part).state_dict())
    encoder = SizedEncoder(module.get_submodule("image_encoder"), side)
    norm = variant.preprocessing.normalisation
    if norm.kind == "min_max":
        return MinMaxSam(encoder, prompt_encoder, mask_decoder).eval()
    return Sam(encoder, prompt_encoder, mask_decoder, list(norm.mean), list(norm.std)).eval()


def main() -> None:
    request = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(request["threads"])
    sam = upstream_sam(request["model"], Path(request["checkpoint"]) if request["checkpoint"] else None)
    generator = SamAutomaticMaskGenerator(sam, **request["options"], output_mode="coco_rle")
    answers = []
    for path in request["pictures"]:
        image = np.asarray(Image.open(path).convert("RGB"))
        started = time.perf_counter()
        masks = generator.generate(image)
        seconds = time.perf_counter() - started
        # The stability of an empty mask is NaN, which JSON has not; it is not compared.
        compared = [{key: mask[key] for key in ("segmentation", "area")} for mask in masks]
        answers.append({"picture": path, "seconds": seconds, "masks": compared})
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    engine = f"PyTorch {torch.__version__} eager, torchvision {TORCHVISION}"
    Path(sys.argv[2]).write_text(json.dumps({"engine": engine, "peak_bytes": peak, "answers": answers}))


if __name__ == "__main__":
    main()
