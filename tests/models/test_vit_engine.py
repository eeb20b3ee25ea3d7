"""The exported form of the ViT gives what the plain one gives, in its memory and at every division into windows."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from sam_export.models.vit import Vit, VitConfig
from sam_export.models.vit_engine import EngineAttention, EngineVit, place_channels

from .wheel_source import randomise

BASE = VitConfig(36, 3, 3, global_blocks=(1,), image_size=112, window_size=3, out_channels=16)
CONFIGS = {
    "windows filled up": BASE,
    "windows that fit": dataclasses.replace(BASE, image_size=96),
    "window larger than the picture": dataclasses.replace(BASE, window_size=9),
    "window as large as the picture": dataclasses.replace(BASE, window_size=7),
    "pruned": dataclasses.replace(BASE, attention_widths=(18, 24, 36), mlp_widths=(20, 50, 144)),
    "all global": dataclasses.replace(BASE, global_blocks=(0, 1, 2)),
}


def filled(config: VitConfig) -> Vit:
    plain = Vit(config).requires_grad_(False)
    randomise(plain)
    return plain


def relative_error(reference: torch.Tensor, candidate: torch.Tensor) -> float:
    return float((reference - candidate).abs().max() / reference.abs().max())


def picture(config: VitConfig) -> torch.Tensor:
    return torch.randn(1, 3, config.image_size, config.image_size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", CONFIGS)
def test_exported_form_is_exact(name: str) -> None:
    plain = filled(CONFIGS[name])
    with torch.no_grad():
        image = picture(plain.config)
        assert relative_error(plain(image), EngineVit(plain)(image)) < 1e-5


@pytest.mark.parametrize("name", ["rel_pos_h", "rel_pos_w", "k", "pos_embed"])
def test_a_part_that_is_ignored_shows(name: str) -> None:
    engine = EngineVit(filled(BASE))
    with torch.no_grad():
        for key, tensor in engine.state_dict().items():
            if name in key.split("."):
                tensor.zero_()
        image = picture(BASE)
        # Some lie in the memory of the plain one, so that a second one is the witness.
        assert relative_error(filled(BASE)(image), engine(image)) > 1e-3


def test_weights_are_not_held_twice() -> None:
    plain = filled(BASE)
    held = {tensor.untyped_storage().data_ptr() for tensor in plain.state_dict().values()}
    own = [tensor for tensor in EngineVit(plain).parameters() if tensor.untyped_storage().data_ptr() not in held]
    # The scaled q, a sixteenth or less of a block, biases, and tables of positions.
    total = sum(tensor.numel() for tensor in plain.parameters())
    assert sum(tensor.numel() for tensor in own) < 0.2 * total


def test_a_cell_is_known_by_its_row_and_its_column() -> None:
    places = place_channels(3)[0, 0]
    assert places.sum(1).eq(2).all()
    assert places[5].tolist() == [0, 1, 0, 0, 0, 1]


def test_nothing_is_above_rank_4() -> None:
    plain = filled(BASE)
    graph = torch.export.export(EngineVit(plain).eval(), (picture(BASE),)).graph
    ranks = {len(node.meta["val"].shape) for node in graph.nodes if isinstance(node.meta.get("val"), torch.Tensor)}
    assert max(ranks) <= 4
    assert any(isinstance(part, EngineAttention) for part in EngineVit(plain).modules())
