"""A model at another input size than it was published for: `sam_vit_b-512px` say.

All that a size changes in a checkpoint are tables of learned positions. Windows, convolutions and TinyViT's biases know
no picture's size, and Hiera's and EfficientSAM's tables are enlarged by the module itself, as upstream does. Left are
ViT's. Those between the cells of a whole picture are interpolated linearly, as upstream does (segment-anything
`modeling/image_encoder.py`, `get_rel_pos`). Upstream knows one size for the absolute ones; they are interpolated
bicubically, as open-mmlab/mmpretrain does for SAM's encoder (`models/backbones/vit_sam.py`, `_prepare_pos_embed`) and
as SAM 2 does with Hiera's. hitachinsk/SAMed (`sam_lora_image_encoder.py`) takes them bilinearly.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from torch import Size, Tensor
from torch.nn import functional as F

from ..errors import RequestError
from .decoder_config import DecoderConfig
from .efficientvit import EfficientVitConfig
from .variants import Variant

NAME = re.compile(r"(?P<published>.+)-(?P<size>\d+)px")
SMALLEST, LARGEST, STEP = 128, 2048, 64
POSITIONS = "image_encoder.pos_embed"


def split_name(name: str) -> tuple[str, int | None]:
    """Return the name that a model was published under, and the size that was asked for: ("sam_vit_b", 512)."""
    found = NAME.fullmatch(name)
    return (name, None) if found is None else (found["published"], int(found["size"]))


def published_name(name: str) -> str:
    return split_name(name)[0]


def resized(variant: Variant, size: int) -> Variant:
    """Return the model for pictures of `size` pixels a side, under a name of its own.

    Raises:
        RequestError: the size is none that every stage of the encoder can divide.
    """
    published = variant.preprocessing.image_hw[0]
    if size == published:
        return variant
    if size % STEP or not SMALLEST <= size <= LARGEST:
        raise RequestError(
            f"{variant.name}: an image size of {size} is not possible; allowed: {published}, for which it was made, "
            f"and multiples of {STEP} from {SMALLEST} to {LARGEST}"
        )
    # EfficientViT's neck brings pictures of all sizes to as many cells, and prompts are in a frame of their own.
    behind = published if isinstance(variant.encoder, EfficientVitConfig) else size
    frame = _scaled(variant.preprocessing.prompt_frame_hw, behind, published)
    return dataclasses.replace(
        variant,
        name=f"{variant.name}-{size}px",
        encoder=_encoder(variant.encoder, size),
        decoder=_decoder(variant.decoder, behind, published),
        preprocessing=dataclasses.replace(variant.preprocessing, image_hw=(size, size), prompt_frame_hw=frame),
        mask_rule=dataclasses.replace(variant.mask_rule, mask_hw=_scaled(variant.mask_rule.mask_hw, behind, published)),
    )


def size_of_positions(tensors: Mapping[str, Tensor], layout: Mapping[str, Size], size: int) -> int | None:
    """Return the pixels a side that a file's table of absolute positions is for; None where it does not tell.

    `layout`: of the model for pictures of `size` pixels.
    """
    found, wanted = tensors.get(POSITIONS), layout.get(POSITIONS)
    if found is None or wanted is None or found.dim() != len(wanted) or found.dim() != 4:
        return None
    return size * found.shape[1] // wanted[1]


def _encoder(config: object, size: int) -> object:
    assert dataclasses.is_dataclass(config)
    assert not isinstance(config, type)
    return dataclasses.replace(config, image_size=size)


def _decoder(config: DecoderConfig, size: int, published: int) -> DecoderConfig:
    cells, frame = _scaled((config.embedding_size, config.frame_size), size, published)
    return dataclasses.replace(config, embedding_size=cells, frame_size=frame)


def _scaled(sides: tuple[int, int], size: int, published: int) -> tuple[int, int]:
    first, second = (side * size // published for side in sides)
    return first, second


def fit_positions(
    tensors: Mapping[str, Tensor], layout: Mapping[str, Size]
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the tensors with tables of positions in the layout's sizes, and which were interpolated."""
    fitted = {name: _fitted(name, tensor, layout.get(name)) for name, tensor in tensors.items()}
    changed = tuple(name for name, tensor in fitted.items() if tensor is not tensors[name])
    if not changed:
        return fitted, ()
    first = changed[0]
    from_to = f"{tuple(tensors[first].shape)} to {tuple(fitted[first].shape)}"
    return fitted, (f"{len(changed)} tables of positions interpolated ({first} from {from_to})",)


def _fitted(name: str, tensor: Tensor, wanted: Size | None) -> Tensor:
    if wanted is None or tensor.shape == wanted or tensor.dim() != len(wanted):
        return tensor
    table = name.rpartition(".")[2]
    if table == "pos_embed" and tensor.dim() == 4 and tensor.shape[3] == wanted[3]:
        grid = tensor.float().permute(0, 3, 1, 2)
        return F.interpolate(grid, tuple(wanted[1:3]), mode="bicubic", align_corners=False).permute(0, 2, 3, 1)
    if table in ("rel_pos_h", "rel_pos_w") and tensor.shape[1] == wanted[1]:
        return F.interpolate(tensor.float().T.unsqueeze(0), wanted[0], mode="linear")[0].T
    return tensor
