"""MilSession on packages that coremltools converted from torch: parity, precisions, pictures, compression."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import coremltools as ct
import coremltools.optimize as cto
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sam_export.contract import GraphContract, TensorSpec
from sam_export.verify.mil import MilSession, Rounding

from .cases import IOS16, IOS17, IOS18

# coremltools takes traced modules and leaves the folder of an unsaved model to the garbage collector.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:`torch.jit.trace(_method)?` is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning"),
]

SIDE, CHANNELS = 16, 8
CONTRACT = GraphContract(
    "image_encoder",
    (TensorSpec("image", (1, 3, SIDE, SIDE), "float32", "RGB, 0..255"),),
    (TensorSpec("image_embeddings", (1, CHANNELS, SIDE // 2, SIDE // 2), "float32", "features"),),
)
PICTURE = np.random.default_rng(3).integers(0, 256, (1, 3, SIDE, SIDE)).astype(np.float32)


class ConvAttention(nn.Module):
    """One of each kind of layer: image [1, 3, 16, 16] in 0..255 -> [1, 8, 8, 8]."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.stem = nn.Conv2d(3, 32, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(32)
        self.tokens = nn.LayerNorm(32)
        self.qkv, self.out = nn.Linear(32, 96), nn.Linear(32, 32)
        self.up, self.neck = nn.ConvTranspose2d(32, 16, 2, stride=2), nn.Conv2d(16, CHANNELS, 3, stride=2, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        x = F.gelu(self.norm(self.stem(image / 127.5 - 1)))
        tokens = self.tokens(x.flatten(2).transpose(1, 2))
        q, k, v = self.qkv(tokens).reshape(1, 64, 3, 4, 8).permute(2, 0, 3, 1, 4).unbind(0)
        tokens = tokens + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(1, 64, 32))
        return self.neck(F.relu(self.up(tokens.transpose(1, 2).reshape(1, 32, 8, 8))))


@pytest.fixture(scope="module")
def net() -> nn.Module:
    return ConvAttention().eval()


@pytest.fixture(scope="module")
def reference(net: nn.Module) -> np.ndarray:
    with torch.inference_mode():
        return net(torch.from_numpy(PICTURE)).numpy()


Convert = Callable[..., ct.models.MLModel]


@pytest.fixture(scope="module")
def convert(net: nn.Module) -> Convert:
    with torch.no_grad():
        traced = torch.jit.trace(net, torch.from_numpy(PICTURE))

    def converted(target: Any, precision: Any, image: Any = None) -> ct.models.MLModel:
        return ct.convert(
            traced,
            inputs=[image or ct.TensorType("image", PICTURE.shape, dtype=np.float32)],
            outputs=[ct.TensorType("image_embeddings", dtype=np.float32)],
            convert_to="mlprogram",
            minimum_deployment_target=target,
            compute_precision=precision,
            skip_model_load=True,
        )

    return converted


FP32, FP16 = ct.precision.FLOAT32, ct.precision.FLOAT16


def opened(model: ct.models.MLModel, folder: Path, rounding: Rounding = "fp16") -> MilSession:
    path = folder / "net.mlpackage"
    model.save(str(path))
    return MilSession(path, CONTRACT, rounding)


def error(session: MilSession, reference: np.ndarray) -> float:
    """Return the largest error relative to the largest magnitude of the reference."""
    embeddings = session.run({"image": PICTURE})["image_embeddings"]
    assert (embeddings.dtype, embeddings.shape) == (np.float32, reference.shape)
    return float(np.abs(embeddings - reference).max() / np.abs(reference).max())


@pytest.mark.parametrize("target", [IOS16, IOS17, IOS18], ids=["ios16", "ios17", "ios18"])
@pytest.mark.parametrize(
    ("precision", "limit", "compute"), [(FP32, 1e-5, "fp32"), (FP16, 5e-3, "fp16")], ids=["fp32", "fp16"]
)
def test_matches_torch(
    convert: Convert,
    reference: np.ndarray,
    tmp_path: Path,
    target: Any,
    precision: Any,
    limit: float,
    compute: str,
) -> None:
    session = opened(convert(target, precision), tmp_path)
    assert session.report.compute_precision == compute
    assert error(session, reference) < limit


def test_rounding_adds_to_the_error_of_the_weights(convert: Convert, reference: np.ndarray, tmp_path: Path) -> None:
    rounded = opened(convert(IOS16, FP16), tmp_path)
    plain = MilSession(tmp_path / "net.mlpackage", CONTRACT, "none")
    assert 0 < error(plain, reference) < 5e-3
    assert error(rounded, reference) != error(plain, reference)
    assert plain.report.compute_precision == "fp32"


@dataclass(frozen=True)
class Compression:
    """`operations`: what coremltools may store the weights as; `limit`: the error that it may cause."""

    compress: Callable[..., ct.models.MLModel]
    config: Any
    operations: frozenset[str]
    limit: float


INT8 = Compression(
    cto.coreml.linear_quantize_weights,
    cto.coreml.OpLinearQuantizerConfig(mode="linear_symmetric", weight_threshold=64),
    frozenset({"constexpr_affine_dequantize", "constexpr_blockwise_shift_scale"}),
    0.03,
)
PALETTE = Compression(
    cto.coreml.palettize_weights,
    cto.coreml.OpPalettizerConfig(mode="kmeans", nbits=6, weight_threshold=64),
    frozenset({"constexpr_lut_to_dense"}),
    0.15,
)


@pytest.mark.parametrize("target", [IOS16, IOS18], ids=["ios16", "ios18"])
@pytest.mark.parametrize("recipe", [INT8, PALETTE], ids=["int8", "palette-6-bits"])
def test_compressed_weights_stay_near(
    convert: Convert, reference: np.ndarray, tmp_path: Path, target: Any, recipe: Compression
) -> None:
    config = cto.coreml.OptimizationConfig(global_config=recipe.config)
    model = recipe.compress(convert(target, FP16), config)
    session = opened(model, tmp_path)
    block = next(iter(model.get_spec().mlProgram.functions["main"].block_specializations.values()))
    assert recipe.operations & {operation.type for operation in block.operations}
    assert 1e-4 < error(session, reference) < recipe.limit


@pytest.mark.parametrize("layout", ["RGB", "BGR"])
def test_a_picture_input_takes_rgb(
    convert: Convert, net: nn.Module, reference: np.ndarray, tmp_path: Path, layout: str
) -> None:
    image = ct.ImageType("image", PICTURE.shape, color_layout=getattr(ct.colorlayout, layout))
    session = opened(convert(IOS16, FP32, image), tmp_path)
    embeddings = session.run({"image": PICTURE + 0.3})["image_embeddings"]
    with torch.inference_mode():
        held = torch.from_numpy(PICTURE if layout == "RGB" else PICTURE[:, ::-1].copy())
        np.testing.assert_allclose(embeddings, net(held).numpy(), atol=1e-5)


def test_the_scale_and_bias_of_a_picture_are_applied(convert: Convert, net: nn.Module, tmp_path: Path) -> None:
    image = ct.ImageType("image", PICTURE.shape, scale=0.5, bias=[10.0, 0.0, -10.0])
    session = opened(convert(IOS16, FP32, image), tmp_path)
    bias = np.array([10.0, 0.0, -10.0], np.float32).reshape(1, 3, 1, 1)
    with torch.inference_mode():
        wanted = net(torch.from_numpy(PICTURE * np.float32(0.5) + bias)).numpy()
    np.testing.assert_allclose(session.run({"image": PICTURE})["image_embeddings"], wanted, atol=1e-5)
