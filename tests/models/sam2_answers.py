"""How SAM 2's authors, transformers and this project answer a prompt, as tensors to compare."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sam_export.models import SamModel, components

from .prompt_cases import PromptCase

MAX_RELATIVE_ERROR = 1e-4


def picture(side: int) -> Tensor:
    """Return [1, 3, side, side], 0..255, with smooth and rough parts."""
    generator = torch.Generator().manual_seed(5)
    coarse = torch.rand(1, 3, 8, 8, generator=generator)
    smooth = nn.functional.interpolate(coarse, size=(side, side), mode="bicubic")
    return ((smooth + 0.1 * torch.randn(smooth.shape, generator=generator)) * 255).clamp(0, 255)


def normalised(image: Tensor) -> Tensor:
    """As upstream's transforms do it: on 0..1, with constants of 0..1."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (image / 255 - mean.reshape(3, 1, 1)) / std.reshape(3, 1, 1)


def with_weights_of(model: SamModel, upstream: nn.Module) -> nn.Module:
    """Return upstream's module with the model's weights; its tensors for videos are left as they are."""
    missing, unexpected = upstream.load_state_dict(model.module.state_dict(), strict=False)
    assert not unexpected
    assert all(name.startswith(model.variant.unused_keys) for name in missing)
    return upstream


def upstream_features(upstream: nn.Module, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The steps of `SAM2ImagePredictor.set_image`."""
    with torch.no_grad():
        finest, finer, coarse = upstream.forward_image(normalised(image))["backbone_fpn"]
        return coarse + upstream.no_mem_embed.reshape(1, -1, 1, 1), finest, finer


@dataclass(frozen=True, eq=False)
class Answer:
    masks: Tensor
    ious: Tensor
    scores: Tensor


def upstream_inputs(upstream: nn.Module, features: tuple[Tensor, ...], case: PromptCase) -> dict[str, object]:
    """What `SAM2ImagePredictor._predict` gives its mask decoder: the box is two points, which come first."""
    coords, labels = [], []
    if case.boxes is not None:
        coords.append(case.boxes.reshape(-1, 2, 2))
        labels.append(torch.tensor([[2, 3]]).repeat(case.batch, 1))
    if case.points is not None and case.labels is not None:
        coords.append(case.points)
        labels.append(case.labels.int())
    given = (torch.cat(coords, 1), torch.cat(labels, 1))
    sparse, dense = upstream.sam_prompt_encoder(points=given, boxes=None, masks=case.masks)
    return {
        "image_embeddings": features[0],
        "image_pe": upstream.sam_prompt_encoder.get_dense_pe(),
        "sparse_prompt_embeddings": sparse,
        "dense_prompt_embeddings": dense,
        "repeat_image": case.batch > 1,
        "high_res_features": list(features[1:]),
    }


def upstream_answer(upstream: nn.Module, features: tuple[Tensor, ...], case: PromptCase) -> Answer:
    with torch.no_grad():
        inputs = upstream_inputs(upstream, features, case)
        masks, ious, _, scores = upstream.sam_mask_decoder.predict_masks(**inputs)
    return Answer(masks, ious, scores)


def own_answer(model: SamModel, features: tuple[Tensor, ...], case: PromptCase) -> Answer:
    _, decoder = components(model)
    with torch.no_grad():
        return Answer(*decoder.module(*features, *case.feeds(model.variant.mask_rule.mask_hw, padding=True)))


def relative_error(reference: Tensor, candidate: Tensor) -> float:
    assert reference.shape == candidate.shape
    return float((reference - candidate).abs().max() / reference.abs().max())


def assert_same(reference: Answer, candidate: Answer) -> None:
    for field in dataclasses.fields(Answer):
        error = relative_error(getattr(reference, field.name), getattr(candidate, field.name))
        assert error < MAX_RELATIVE_ERROR, field.name


def hugging_face_answer(reference: nn.Module, image: Tensor, case: PromptCase) -> Answer:
    """B prompts on one picture are B objects to transformers. The box goes in as corners, the padding point by it."""
    given = {
        "input_points": None if case.points is None else case.points[None],
        "input_labels": None if case.labels is None else case.labels[None].int(),
        "input_boxes": None if case.boxes is None else case.boxes[None],
        "input_masks": case.masks,
    }
    with torch.no_grad():
        single, several = (
            reference(pixel_values=normalised(image), multimask_output=flag, **given) for flag in (False, True)
        )
    return Answer(
        torch.cat((single.pred_masks, several.pred_masks), 2)[0],
        torch.cat((single.iou_scores, several.iou_scores), 2)[0],
        single.object_score_logits[0],
    )
