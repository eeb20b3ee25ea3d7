"""The engine form of TinyViT computes what the checkpoint's own form does."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sam_export.models import SamModel
from sam_export.models.engine_layers import Windows
from sam_export.models.tiny_vit import TinyVit
from sam_export.models.tiny_vit_engine import EngineAttention, EngineTinyVit


def source(model: SamModel) -> TinyVit:
    encoder = model.module.get_submodule("image_encoder")
    assert isinstance(encoder, TinyVit)
    return encoder


def test_engine_form_gives_the_same_embeddings(tiny_sam: SamModel) -> None:
    encoder = source(tiny_sam)
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    expected = encoder(image)
    torch.testing.assert_close(EngineTinyVit(encoder)(image), expected, rtol=0, atol=2e-5 * float(expected.abs().max()))


def test_engine_form_leaves_the_model_as_it_was(tiny_sam: SamModel) -> None:
    encoder = source(tiny_sam)
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    EngineTinyVit(encoder)
    assert all(torch.equal(before[name], tensor) for name, tensor in encoder.state_dict().items())


def test_engine_form_has_no_batch_norm_and_no_bias_that_attention_ignores(tiny_sam: SamModel) -> None:
    modules = list(EngineTinyVit(source(tiny_sam)).modules())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in modules)
    attentions = [module for module in modules if isinstance(module, EngineAttention)]
    assert attentions
    assert all(attention.k.bias is None and attention.v.bias is None for attention in attentions)


@pytest.mark.parametrize(("side", "span"), [(8, 4), (8, 7), (5, 9)])
def test_cells_come_back_from_their_windows_without_padding(side: int, span: int) -> None:
    cells = torch.arange(float(side**2 * 3)).reshape(1, side**2, 3)
    windows = Windows(side, span)
    parted = windows.partition(cells)
    assert parted.shape == (windows.count**2, span**2, 3)
    assert torch.equal(parted.sum(), cells.sum()), "the rest is zero"
    assert torch.equal(windows.merge(parted), cells)


def test_what_fills_up_windows_is_not_projected(tiny_sam: SamModel) -> None:
    engine = EngineTinyVit(source(tiny_sam))
    seen: list[torch.Size] = []
    for attention in (module for module in engine.modules() if isinstance(module, EngineAttention)):
        attention.proj.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    engine(torch.rand(1, 3, 64, 64))
    assert [shape[1] for shape in seen] == [32**2, 16**2, 16**2]


@pytest.mark.parametrize("name", ["k", "v", "proj"])
def test_a_changed_projection_is_noticed(tiny_sam: SamModel, name: str) -> None:
    encoder = source(tiny_sam)
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    changed = EngineTinyVit(encoder)
    projection = changed.get_submodule(f"layers.1.blocks.0.attn.{name}")
    assert isinstance(projection, nn.Linear)
    # In memory of its own: what is taken as it is lies in the source's.
    projection.weight.data = projection.weight.data.clone()
    projection.weight.data[0] *= 1.5
    assert not torch.allclose(changed(image), encoder(image), rtol=0, atol=1e-4)
