"""The JSON that `/v1/masks` takes and gives. Names are those of the graphs; everything is in pixels of the picture.

Bytes are base64. Unknown fields are refused, so that a misspelt one is not ignored.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from ..runtimes.coco import CocoRle
from .options import MAX_PROMPTS
from .problems import Problem

Point = tuple[float, float]
Box = tuple[float, float, float, float]


class PromptMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One prompt: points with labels (1 foreground, 0 background), a box (x0, y0, x1, y1), or both.

    `mask_input`: `low_res_masks` of an earlier answer, one of them: float32, little-endian, [1, h, w].
    """

    point_coords: list[Point] | None = None
    point_labels: list[int] | None = None
    box: Box | None = None
    mask_input: bytes | None = None


class MasksRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Prompts on one picture: `image`, the bytes of its file, or `embedding_id`, of an earlier answer.

    `multimask_output`: several masks a prompt, where the model has them. `mask_format`: COCO run lengths, or PNG of
    8 bits, 255 inside. `low_res_masks`: give those, too.
    """

    prompts: Annotated[list[PromptMessage], msgspec.Meta(min_length=1, max_length=MAX_PROMPTS)]
    image: bytes | None = None
    embedding_id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")] | None = None
    multimask_output: bool = False
    mask_format: Literal["rle", "png"] = "rle"
    low_res_masks: bool = False


class LowResMasks(msgspec.Struct, frozen=True):
    """Logits [C, h, w], float32, little-endian; one of them is fit for `mask_input`."""

    shape: tuple[int, int, int]
    data: bytes


class PromptAnswer(msgspec.Struct, frozen=True):
    """The masks of one prompt, and the model's own estimate of the IoU of each."""

    masks: list[CocoRle | bytes]
    iou_predictions: list[float]
    low_res_masks: LowResMasks | None = None


class MasksAnswer(msgspec.Struct, frozen=True):
    """One answer a prompt, in order. `original_hw`: height and width of the picture, upright."""

    embedding_id: str
    original_hw: tuple[int, int]
    answers: list[PromptAnswer]


def decode_masks_request(data: bytes) -> MasksRequest:
    """Return the request.

    Raises:
        Problem: 400, not JSON; 422, not of this shape, or with two pictures, or none.
    """
    try:
        request = msgspec.json.decode(data, type=MasksRequest)
    except msgspec.ValidationError as exc:
        raise Problem(422, "request_invalid", f"request: {exc}") from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise Problem(400, "not_json", f"request: not JSON ({exc}); send application/json") from exc
    if (request.image is None) == (request.embedding_id is None):
        given = "neither" if request.image is None else "both"
        raise Problem(422, "request_invalid", f"request: {given} of image and embedding_id given; give one of them")
    return request
