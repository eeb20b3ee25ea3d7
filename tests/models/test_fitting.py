"""A user's own checkpoint: under any prefix, of one part alone, or of another model than the one named."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sam_export.errors import CheckpointError
from sam_export.manifest import file_sha256
from sam_export.models import FAMILIES, VARIANTS, SamModel, load, untrained
from sam_export.models.loader import layout_of
from sam_export.models.sources import FileSource

from .family_cases import FAMILY_CASES

Tensors = dict[str, Tensor]


@pytest.fixture
def weights(tiny_sam: SamModel) -> Tensors:
    return dict(tiny_sam.module.state_dict())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mine.pth"


def assert_same(model: SamModel, weights: Tensors) -> None:
    found = model.module.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in weights.items())


def under(prefix: str, weights: Tensors) -> Tensors:
    return {prefix + name: tensor for name, tensor in weights.items()}


@pytest.mark.parametrize("prefix", ["model.", "sam.", "module.", "_orig_mod.", "net.sam_model.", "module.model.sam."])
def test_any_prefix_is_taken_off_and_named(tiny_sam: SamModel, weights: Tensors, file: Path, prefix: str) -> None:
    torch.save({"state_dict": under(prefix, weights)}, file)
    model = load(tiny_sam.variant, file)
    assert_same(model, weights)
    assert any("taken off" in note for note in model.notes)


def test_what_lies_beside_a_prefix_is_left_out_and_named(tiny_sam: SamModel, weights: Tensors, file: Path) -> None:
    torch.save({**under("model.", weights), "criterion.weight": torch.ones(2)}, file)
    model = load(tiny_sam.variant, file)
    assert_same(model, weights)
    assert "mine.pth: 1 tensors outside 'model.' left out (criterion.weight)" in model.notes


@pytest.mark.slow
def test_without_a_prefix_nothing_is_left_out(tiny_sam: SamModel, weights: Tensors, file: Path) -> None:
    torch.save({**weights, "criterion.weight": torch.ones(2)}, file)
    with pytest.raises(CheckpointError, match=r"1 unexpected \(criterion.weight\)"):
        load(tiny_sam.variant, file)


def test_two_models_in_one_file_are_not_chosen_between(tiny_sam: SamModel, weights: Tensors, file: Path) -> None:
    torch.save({**under("student.", weights), **under("teacher.", weights)}, file)
    with pytest.raises(CheckpointError, match="holds 2 models that fit equally well"):
        load(tiny_sam.variant, file)


PARTS: dict[str, Callable[[Tensors], Tensors]] = {
    "with its prefix": lambda part: part,
    "without": lambda part: {name.partition(".")[2]: tensor for name, tensor in part.items()},
    "under another": lambda part: under("model.", part),
}


@pytest.mark.parametrize("kind", PARTS)
def test_an_image_encoder_alone_gets_the_rest_from_the_models_own(
    tiny_sam: SamModel, weights: Tensors, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("SAM_EXPORT_CACHE", str(tmp_path / "cache"))
    own = tmp_path / "own.pth"
    torch.save(untrained(tiny_sam.variant, 9).module.state_dict(), own)
    row = dataclasses.replace(
        tiny_sam.variant,
        source=FileSource(own),
        checkpoint_sha256=file_sha256(own),
        checkpoint_bytes=own.stat().st_size,
    )
    encoder = {name: tensor for name, tensor in weights.items() if name.startswith("image_encoder.")}
    torch.save(PARTS[kind](encoder), file)
    model = load(row, file)
    others = {name: tensor for name, tensor in torch.load(own).items() if not name.startswith("image_encoder.")}
    assert_same(model, {**encoder, **others})
    said = "mine.pth: prompt_encoder, mask_decoder not in it, taken from tiny_sam's own weights"
    assert said in model.notes
    assert "prompt_encoder, mask_decoder of" in model.card.source
    assert model.checkpoint_sha256 not in (file_sha256(file), file_sha256(own))


@pytest.mark.slow
def test_half_an_image_encoder_is_refused_without_fetching_anything(
    tiny_sam: SamModel, weights: Tensors, file: Path
) -> None:
    encoder = [name for name in weights if name.startswith("image_encoder.")]
    torch.save({name: weights[name] for name in encoder[: len(encoder) // 2]}, file)
    with pytest.raises(CheckpointError, match="missing"):
        load(tiny_sam.variant, file)


@pytest.mark.parametrize("prefix", ["", "module.", "model."])
@pytest.mark.slow
def test_a_checkpoint_of_another_model_is_recognised(
    tiny_sam: SamModel, file: Path, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    other = FAMILY_CASES["efficient_sam"]()
    for row in (tiny_sam.variant, other):
        monkeypatch.setitem(VARIANTS, row.name, row)
    tensors = dict(untrained(other).module.state_dict())
    total = len(tensors)
    tensors.pop(next(iter(tensors)))
    torch.save(under(prefix, tensors), file)
    with pytest.raises(CheckpointError) as caught:
        load(tiny_sam.variant, file)
    assert f"it looks like tiny_efficient_sam ({total - 1} of {total} tensors fit)" in str(caught.value)
    assert str(caught.value).endswith(f"use `sam-export tiny_efficient_sam --checkpoint {file}`")


@pytest.mark.slow
def test_a_checkpoint_of_no_model_is_not_recognised(tiny_sam: SamModel, file: Path) -> None:
    torch.save({"backbone.conv1.weight": torch.zeros(8, 3, 7, 7)}, file)
    with pytest.raises(CheckpointError) as caught:
        load(tiny_sam.variant, file)
    assert "looks like" not in str(caught.value)


@pytest.mark.parametrize("name", FAMILY_CASES)
def test_a_layout_can_be_had_without_weights(name: str) -> None:
    variant = FAMILY_CASES[name]()
    with torch.device("meta"):
        module = FAMILIES[variant.family].build(variant)
    assert layout_of(module) == layout_of(untrained(variant).module)
