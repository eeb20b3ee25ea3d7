"""EfficientSAM against its authors' source, which executorch's wheel carries among its examples."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from sam_export.contract import PointLabel
from sam_export.models import FAMILIES, VARIANTS, Component, Variant
from sam_export.models.decoder_config import DecoderConfig
from sam_export.models.efficient_sam import EfficientSamConfig

from .wheel_source import importable, randomise, unpack

pytestmark = pytest.mark.slow
MAX_RELATIVE_ERROR = 1e-4
SOURCE = "executorch/examples/models/efficient_sam/efficient_sam_core"
WIDTHS = {"efficient_sam_ti": (192, 3), "efficient_sam_s": (384, 6)}
SIDE, DIM, HEADS, DEPTH, SLOTS = 128, 32, 4, 2, 6


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    folder = unpack("executorch==1.5.1", SOURCE, tmp_path_factory.mktemp("wheel"), compiled=True)
    with importable((folder / SOURCE).parent):
        yield importlib.import_module("efficient_sam_core.efficient_sam")


@pytest.fixture(scope="module")
def upstream(source: ModuleType) -> nn.Module:
    """The authors' model, narrow, of 128 px: 8 cells a side, so that the position table of 14 is shrunk."""
    encoder = source.ImageEncoderViT(SIDE, 16, 3, 48, "layer_norm", DEPTH, 3, 4.0, [DIM, DIM], nn.GELU)
    transformer = source.TwoWayTransformer(2, DIM, HEADS, 64, nn.GELU, False)
    decoder = source.MaskDecoder(
        transformer_dim=DIM,
        transformer=transformer,
        num_multimask_outputs=3,
        activation=nn.GELU,
        normalization_type="layer_norm",
        normalize_before_activation=False,
        iou_head_depth=2,
        iou_head_hidden_dim=DIM,
        upscaling_layer_dims=[DIM // 4, DIM // 8],
    )
    cells = (SIDE // 16, SIDE // 16)
    prompts = source.PromptEncoder(DIM, cells, (SIDE, SIDE))
    return randomise(source.EfficientSam(encoder, prompts, SLOTS, decoder))


def narrow() -> Variant:
    row = VARIANTS["efficient_sam_ti"]
    return replace(
        row,
        encoder=EfficientSamConfig(image_size=SIDE, dim=48, heads=3, depth=DEPTH, out_channels=DIM),
        decoder=DecoderConfig(embedding_size=SIDE // 16, frame_size=SIDE, dim=DIM, heads=HEADS, mlp_dim=64),
        preprocessing=replace(row.preprocessing, image_hw=(SIDE, SIDE), prompt_frame_hw=(SIDE, SIDE)),
        mask_rule=replace(row.mask_rule, mask_hw=(SIDE // 4, SIDE // 4)),
    )


def build(variant: Variant, weights: dict[str, Tensor]) -> nn.Module:
    module = FAMILIES[variant.family].build(variant).eval()
    module.load_state_dict(weights)
    return module


@pytest.fixture(scope="module")
def parts(upstream: nn.Module) -> tuple[Component, ...]:
    return FAMILIES["efficient_sam"].components(build(narrow(), upstream.state_dict()), narrow())


@pytest.fixture(scope="module")
def image() -> Tensor:
    return torch.randint(0, 256, (1, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(1)).float()


@pytest.fixture(scope="module")
def embeddings(upstream: nn.Module, image: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = upstream.get_image_embeddings(image / 255)
    return found


def relative_error(reference: Tensor, candidate: Tensor) -> float:
    assert reference.shape == candidate.shape
    return float((reference - candidate).abs().max() / reference.abs().max())


def ask(upstream: nn.Module, embeddings: Tensor, coords: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """All four masks [B, 4, h, w] and scores [B, 4] of upstream, which fills the prompts up itself."""
    side = upstream.image_encoder.img_size
    answers = [
        upstream.predict_masks(embeddings, coords[None], labels[None], several, side, side) for several in (False, True)
    ]
    masks, scores = (torch.cat(parts, dim=2)[0] for parts in zip(*answers, strict=True))
    return masks, scores


def filled(coords: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """As the runtimes fill up: padding points at the origin."""
    missing = SLOTS - labels.shape[1]
    coords = nn.functional.pad(coords, (0, 0, 0, missing))
    return coords, nn.functional.pad(labels, (0, missing), value=float(PointLabel.PADDING))


POINT = (torch.tensor([[[60.0, 70.0]]]), torch.tensor([[1.0]]))
POINTS = (torch.tensor([[[60.0, 70.0], [120.0, 40.0], [3.0, 9.0]]]), torch.tensor([[1.0, 0.0, 1.0]]))
BOX = (torch.tensor([[[30.0, 20.0], [100.0, 125.0]]]), torch.tensor([[2.0, 3.0]]))
BOX_AND_POINTS = tuple(torch.cat(both, 1) for both in zip(POINTS, BOX, strict=True))
FULL = tuple(torch.cat(both, 1) for both in zip(BOX_AND_POINTS, POINT, strict=True))
SEVERAL = (
    torch.tensor([[[30.0, 20.0], [100.0, 125.0]], [[5.0, 6.0], [90.0, 40.0]], [[0.0, 0.0], [128.0, 128.0]]]),
    torch.tensor([[2.0, 3.0], [1.0, 0.0], [2.0, 3.0]]),
)
PROMPTS = {
    "point": POINT,
    "points": POINTS,
    "box": BOX,
    "box and points": BOX_AND_POINTS,
    "every slot taken": FULL,
    "several prompts": SEVERAL,
}


def test_image_encoder(parts: tuple[Component, ...], image: Tensor, embeddings: Tensor) -> None:
    with torch.no_grad():
        assert relative_error(embeddings, parts[0].module(image)) < MAX_RELATIVE_ERROR


@pytest.mark.parametrize("name", PROMPTS)
def test_mask_decoder(upstream: nn.Module, parts: tuple[Component, ...], embeddings: Tensor, name: str) -> None:
    coords, labels = PROMPTS[name]
    with torch.no_grad():
        masks, scores = ask(upstream, embeddings, coords, labels)
        low_res_masks, iou_predictions = parts[1].module(embeddings, *filled(coords, labels))
    assert relative_error(masks, low_res_masks) < MAX_RELATIVE_ERROR
    assert relative_error(scores, iou_predictions) < MAX_RELATIVE_ERROR


def test_a_padding_point_left_out_is_noticed(
    upstream: nn.Module, parts: tuple[Component, ...], embeddings: Tensor
) -> None:
    coords, labels = filled(*BOX)
    with torch.no_grad():
        masks, _ = ask(upstream, embeddings, *BOX)
        short, _ = parts[1].module(embeddings, coords[:, :-1], labels[:, :-1])
    assert relative_error(masks, short) > MAX_RELATIVE_ERROR


@pytest.mark.parametrize("name", WIDTHS)
def test_keys_and_shapes_are_upstreams(source: ModuleType, name: str) -> None:
    with torch.device("meta"):
        expected = source.build_efficient_sam(*WIDTHS[name])
        found = FAMILIES["efficient_sam"].build(VARIANTS[name])
    shapes = {key: tensor.shape for key, tensor in expected.state_dict().items()}
    assert {key: tensor.shape for key, tensor in found.state_dict().items()} == shapes
    assert sum(parameter.numel() for parameter in expected.parameters()) == VARIANTS[name].parameters
