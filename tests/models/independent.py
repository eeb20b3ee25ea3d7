"""Every model at its full size as others wrote it: its authors' source from a wheel, or transformers, untrained."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from sam_export.models import Variant
from sam_export.models.norms_at_random import settle_norms

from . import sam2_source, timm_source
from .prompt_cases import PromptCase
from .sam2_answers import picture, upstream_answer, upstream_features
from .test_mobile_sam import tiny_vit
from .test_repvit_sam import SOURCES, Source, imported
from .test_vit_sam import hugging_face, hugging_face_answer, normalised
from .upstream import build_upstream, download_wheel, timm_helpers
from .wheel_source import efficientvit_shims, importable, randomise, torchvision_shims, unpack

Features = tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class Independent:
    """`weights`: for this project's module, in a layout that its family knows; its tensors are the reference's own.

    `encode`: a picture in 0..255 -> what the image encoder's contract gives. `decode`: those and a prompt -> masks
    [B, M, h, w] and scores [B, M] of `tokens`, all of them unless it says which.
    """

    name: str
    weights: Mapping[str, Tensor]
    encode: Callable[[Tensor], Features]
    decode: Callable[[Features, PromptCase], tuple[Tensor, Tensor]]
    tokens: tuple[int, ...] | None = None


def of_three_parts(name: str, module: nn.Module, encode: Callable[[Tensor], Tensor]) -> Independent:
    """SAM's own prompt encoder and mask decoder behind an image encoder."""

    def decode(features: Features, case: PromptCase) -> tuple[Tensor, Tensor]:
        sparse, dense = module.prompt_encoder(points=None, boxes=case.boxes, masks=None)
        masks, scores = module.mask_decoder.predict_masks(
            image_embeddings=features[0],
            image_pe=module.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
        )
        return masks, scores

    return Independent(name, module.state_dict(), lambda image: (encode(image),), decode)


@contextmanager
def sam(row: Variant, folder: Path) -> Iterator[Independent]:
    unpack("segment-anything==1.0", "segment_anything/", folder)
    with importable(folder, torchvision_shims()):
        registry = importlib.import_module("segment_anything.build_sam").sam_model_registry
        module = randomise(registry[row.name.removeprefix("sam_")]().requires_grad_(False))
        yield of_three_parts(
            "facebookresearch/segment-anything's own source",
            module,
            lambda image: module.image_encoder(module.preprocess(image)),
        )


@contextmanager
def slim_sam(row: Variant, folder: Path) -> Iterator[Independent]:
    module = hugging_face(row)

    def decode(features: Features, case: PromptCase) -> tuple[Tensor, Tensor]:
        return hugging_face_answer(module, features[0], case)

    yield Independent(
        "transformers SamModel",
        module.state_dict(),
        lambda image: (module.get_image_embeddings(normalised(image)),),
        decode,
    )


@contextmanager
def hq_sam(row: Variant, folder: Path) -> Iterator[Independent]:
    """The single mask and the high-quality one, which upstream gives apart."""
    unpack("segment-anything-hq==0.3", "segment_anything_hq/", folder)
    with importable(folder, {**torchvision_shims(), **timm_helpers()}):
        registry = importlib.import_module("segment_anything_hq.build_sam").sam_model_registry
        # TinyViT's attention biases are expanded when it leaves training.
        module = randomise(registry[row.name.removeprefix("sam_hq_")]().train().requires_grad_(False))
    decoder, early = module.mask_decoder, []

    def encode(image: Tensor) -> Features:
        embeddings, found = module.image_encoder(normalised(image))
        early[:] = found
        fine = decoder.embedding_encoder(embeddings) + decoder.compress_vit_feat(found[0].permute(0, 3, 1, 2))
        return embeddings, fine

    def decode(features: Features, case: PromptCase) -> tuple[Tensor, Tensor]:
        sparse, dense = module.prompt_encoder(None, case.boxes, None)
        given = (features[0], module.prompt_encoder.get_dense_pe(), sparse, dense, False)
        answers = [decoder(*given, hq_token_only=alone, interm_embeddings=early) for alone in (False, True)]
        masks, scores = (torch.cat(parts, dim=1) for parts in zip(*answers, strict=True))
        return masks, scores

    yield Independent("SysCV/sam-hq's own source", _needed(row, module), encode, decode, (0, 4))


@contextmanager
def lite_medsam(row: Variant, folder: Path) -> Iterator[Independent]:
    """On its own trained weights, as upstream normalises: by the picture's least and largest value."""
    from sam_export.models import load

    module = build_upstream(download_wheel(folder), load(row).module.state_dict())
    yield of_three_parts(
        str(row.verified_against),
        module,
        lambda image: module.image_encoder((image - image.min()) / (image.max() - image.min())),
    )


@contextmanager
def mobile_sam(row: Variant, folder: Path) -> Iterator[Independent]:
    with ExitStack() as stack:
        source = imported(stack, SOURCES["repvit_sam"], folder)
        module = source.build(1024)
        module.image_encoder = tiny_vit(source.modeling)
        yield _of_encoder(row, randomise(module.train()))


@contextmanager
def repvit_sam(row: Variant, folder: Path) -> Iterator[Independent]:
    with ExitStack() as stack:
        source: Source = imported(stack, SOURCES[row.name], folder)
        module = randomise(source.build(1024))
        settle_norms(module.image_encoder, normalised(picture(256)))
        yield _of_encoder(row, module)


def _of_encoder(row: Variant, module: nn.Module) -> Independent:
    """Some give their early features, too."""

    def encode(image: Tensor) -> Tensor:
        answer = module.image_encoder(normalised(image))
        embeddings: Tensor = answer[0] if isinstance(answer, tuple) else answer
        return embeddings

    found = of_three_parts(str(row.verified_against), module, encode)
    return Independent(found.name, _needed(row, module), found.encode, found.decode)


def _needed(row: Variant, module: nn.Module) -> dict[str, Tensor]:
    return {name: value for name, value in module.state_dict().items() if not name.startswith(row.unused_keys)}


@contextmanager
def efficient_sam(row: Variant, folder: Path) -> Iterator[Independent]:
    package = "executorch/examples/models/efficient_sam/efficient_sam_core"
    unpack("executorch==1.5.1", package, folder, compiled=True)
    with importable((folder / package).parent):
        source = importlib.import_module("efficient_sam_core.efficient_sam")
        module = randomise(source.build_efficient_sam(row.encoder.dim, row.encoder.heads))

    def decode(features: Features, case: PromptCase) -> tuple[Tensor, Tensor]:
        coords, labels = case.labelled(padding=False)
        answers = [
            module.predict_masks(features[0], coords[None], labels[None], several, 1024, 1024)
            for several in (False, True)
        ]
        masks, scores = (torch.cat(parts, dim=2)[0] for parts in zip(*answers, strict=True))
        return masks, scores

    yield Independent(
        str(row.verified_against),
        module.state_dict(),
        lambda image: (module.get_image_embeddings(image / 255),),
        decode,
    )


@contextmanager
def efficientvit_sam(row: Variant, folder: Path) -> Iterator[Independent]:
    unpack("efficientsam==1.0.0", "efficientsam/", folder)
    with importable(folder, efficientvit_shims()):
        source = importlib.import_module("efficientsam.models.efficientvit")
        module = getattr(source, row.name)()
        importlib.import_module("efficientsam.models.nn.norm").set_norm_eps(module, 1e-6)
        yield _of_encoder(row, randomise(module))


@contextmanager
def sam2(row: Variant, folder: Path) -> Iterator[Independent]:
    wheel = sam2_source.download(folder)
    config = sam2_source.configuration(wheel, sam2_source.official_name(row.name))
    yield _of_sam2(row, sam2_source.build(wheel, config), "facebookresearch/sam2's own source")


@contextmanager
def edgetam(row: Variant, folder: Path) -> Iterator[Independent]:
    wheel, timm = sam2_source.download(folder), timm_source.download(folder / "timm")
    module = sam2_source.build(
        wheel, sam2_source.configuration(wheel, "edgetam"), partial(timm_source.create_model, timm)
    )
    yield _of_sam2(row, module, "facebookresearch/EdgeTAM's own source on timm's RepViT")


def _of_sam2(row: Variant, module: nn.Module, name: str) -> Independent:
    randomise(module.requires_grad_(False))

    def decode(features: Features, case: PromptCase) -> tuple[Tensor, Tensor]:
        answer = upstream_answer(module, features, case)
        return answer.masks, answer.ious

    return Independent(name, _needed(row, module), lambda image: upstream_features(module, image), decode)


OF_FAMILY = {
    "tiny_vit_sam": mobile_sam,
    "vit_sam": sam,
    "hq_sam": hq_sam,
    "efficient_sam": efficient_sam,
    "efficientvit_sam": efficientvit_sam,
    "repvit_sam": repvit_sam,
    "sam2": sam2,
    "edgetam": edgetam,
}
OF_MODEL = {"lite_medsam": lite_medsam, "slimsam_50": slim_sam, "slimsam_77": slim_sam}


@contextmanager
def independent(row: Variant, folder: Path) -> Iterator[Independent]:
    """Yield the reference of a model; what it imports is gone afterwards."""
    folder.mkdir(exist_ok=True)
    with torch.no_grad(), OF_MODEL.get(row.name, OF_FAMILY[row.family])(row, folder) as found:
        yield found
