"""Other input sizes: names, sizes that follow, and position tables that are interpolated as upstream does."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from sam_export.errors import CheckpointError, RequestError
from sam_export.models import FAMILIES, VARIANTS, components, find, load, plain, untrained
from sam_export.models.components import normaliser
from sam_export.models.image_size import fit_positions
from sam_export.models.loader import layout_of

from .test_vit_sam import MAX_RELATIVE_ERROR, relative_error
from .wheel_source import importable, randomise, torchvision_shims, unpack

OTHER = "sam_vit_b-256px"
ONE_OF_EACH = (
    "mobile_sam",
    "efficient_sam_ti",
    "edgetam",
    "sam2.1_hiera_tiny",
    "efficientvit_sam_l0",
    "sam_hq_vit_tiny",
    "slimsam_77",
    "sam_hq_vit_b",
    "repvit_sam",
    "edge_sam",
)


def test_all_sizes_follow_the_picture() -> None:
    row = find("sam_vit_b-512px")
    assert row.name == "sam_vit_b-512px"
    assert row.preprocessing.image_hw == row.preprocessing.prompt_frame_hw == (512, 512)
    assert row.mask_rule.mask_hw == (128, 128)
    assert find("sam_vit_b-1024px") is VARIANTS["sam_vit_b"]


@pytest.mark.parametrize("name", ["sam_vit_b-500px", "sam_vit_b-64px", "sam_vit_b-4096px", "sam_vit_b-0px"])
def test_sizes_that_stages_cannot_divide_are_refused(name: str) -> None:
    with pytest.raises(RequestError, match=r"1024, for which it was made, and multiples of 64 from 128 to 2048"):
        find(name)


def test_an_unknown_model_is_named_as_it_was_given() -> None:
    with pytest.raises(RequestError, match="'sam_vit_c-512px' is no model"):
        find("sam_vit_c-512px")


@pytest.mark.slow
@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_every_family_runs_at_another_size(name: str) -> None:
    """RepViT-SAM in double precision: its folded norms differ by 1e-3 in single, on random weights and few pixels."""
    dtype = torch.float64 if name == "repvit_sam" else torch.float32
    size = find(name).preprocessing.image_hw[0] // 4
    row = find(f"{name}-{size}px")
    model = untrained(row)
    model.module.to(dtype)
    encoder, decoder = components(model)
    image = encoder.example_inputs[0].to(dtype)
    with torch.no_grad():
        given = encoder.module.to(dtype)(image)
        features = given if isinstance(given, tuple) else (given,)
        expected = plain(model).encode(normaliser(row.preprocessing.normalisation).to(dtype)(image))
        masks, *_ = decoder.module.to(dtype)(*(value.to(dtype) for value in decoder.example_inputs))
    assert [tuple(one.shape) for one in features] == [spec.shape for spec in encoder.contract.outputs]
    assert tuple(masks.shape[2:]) == row.mask_rule.mask_hw
    for spec, feature in zip(encoder.contract.outputs, features, strict=True):
        assert relative_error(expected[spec.name], feature) < MAX_RELATIVE_ERROR


@pytest.fixture(scope="module")
def meta(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    folder = unpack("segment-anything==1.0", "segment_anything/", tmp_path_factory.mktemp("wheel"))
    with importable(folder, torchvision_shims()):
        yield importlib.import_module("segment_anything.modeling")


def small(modeling: ModuleType, image_size: int) -> torch.nn.Module:
    """A ViT of Meta's with one block in windows and one over the whole picture."""
    encoder: torch.nn.Module = modeling.ImageEncoderViT(
        img_size=image_size,
        embed_dim=48,
        depth=2,
        num_heads=4,
        out_chans=32,
        use_rel_pos=True,
        window_size=4,
        global_attn_indexes=(1,),
    )
    return randomise(encoder.eval().requires_grad_(False))


@pytest.mark.slow
@pytest.mark.parametrize("size", [96, 256])
def test_relative_positions_are_those_that_upstream_takes_from_longer_and_shorter_tables(
    meta: ModuleType, size: int
) -> None:
    """Upstream interpolates them in each call; here they are, once, and the encoder of the other size has them."""
    trained, other = small(meta, 160), small(meta, size)
    fitted, notes = fit_positions(trained.state_dict(), layout_of(other))
    other.load_state_dict(fitted)
    assert notes[0].startswith("3 tables of positions interpolated")
    image = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = other(image)
        for axis in ("rel_pos_h", "rel_pos_w"):
            setattr(other.get_submodule("blocks.1.attn"), axis, trained.get_parameter(f"blocks.1.attn.{axis}"))
        assert relative_error(other(image), expected) < 1e-5
        trained.get_parameter("blocks.1.attn.rel_pos_h").mul_(1.1)
        assert relative_error(other(image), expected) > 1e-4


def saved_layout(name: str, folder: Path) -> Path:
    """A checkpoint of the model that a name stands for; all zeros, but for the positions."""
    row = find(name)
    with torch.device("meta"):
        layout = layout_of(FAMILIES[row.family].build(row))
    state = {key: torch.zeros(shape) for key, shape in layout.items()}
    state["image_encoder.pos_embed"] += torch.linspace(0, 1, state["image_encoder.pos_embed"].shape[1])[:, None, None]
    torch.save(state, folder / f"{name}.pth")
    return folder / f"{name}.pth"


@pytest.mark.slow
def test_checkpoints_of_either_size_load_and_a_note_says_what_was_done(tmp_path: Path) -> None:
    published = load(OTHER, saved_layout("sam_vit_b", tmp_path))
    assert any("9 tables of positions interpolated" in note for note in published.notes)
    positions = published.module.get_parameter("image_encoder.pos_embed")
    assert positions.shape == (1, 16, 16, 768)
    assert torch.allclose(positions[0, :, 0, 0], (torch.arange(16) * 4 + 1.5) / 63, atol=1e-2)
    own = load(OTHER, saved_layout(OTHER, tmp_path))
    assert not any("interpolated" in note for note in own.notes)


@pytest.mark.slow
def test_a_checkpoint_of_another_size_is_not_interpolated_unless_asked(tmp_path: Path) -> None:
    path = saved_layout(OTHER, tmp_path)
    with pytest.raises(CheckpointError, match="pos_embed") as caught:
        load("sam_vit_b", path)
    advice = f"use `sam-export sam_vit_b --image-size 256 --checkpoint {path}`"
    assert f"; its positions are for pictures of 256 pixels a side: {advice}" in str(caught.value)
    state = torch.load(path)
    torch.save({name: tensor for name, tensor in state.items() if not name.endswith("iou_token.weight")}, path)
    with pytest.raises(CheckpointError, match="1 missing") as caught:
        load("sam_vit_b", path)
    assert "--image-size" not in str(caught.value)
