"""Where a model's weights came from, as bundles and exported files say it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sam_export.models import SamModel, components, load, untrained
from sam_export.models.catalog.tiny_vit_sam import LITE_MEDSAM


@pytest.mark.slow
def test_pinned_weights_have_the_variants_licence(lite_medsam: SamModel) -> None:
    card = lite_medsam.card
    assert (card.model, card.license, card.source) == ("lite_medsam", "Apache-2.0", LITE_MEDSAM.source.address)
    assert card.checkpoint_sha256 == LITE_MEDSAM.checkpoint_sha256
    assert {part.card for part in components(lite_medsam)} == {card}


def test_of_a_users_own_file_only_the_name_is_known(tiny_sam: SamModel, tmp_path: Path) -> None:
    path = tmp_path / "fine tuned.pth"
    torch.save(tiny_sam.module.state_dict(), path)
    card = load(tiny_sam.variant, path).card
    assert card.license == "that of the checkpoint's owner"
    assert card.source == "--checkpoint fine tuned.pth"
    assert card.checkpoint_sha256 != tiny_sam.checkpoint_sha256
    assert str(tmp_path) not in str(card)


def test_random_weights_are_nobodys_and_the_same_for_a_seed(tiny_sam: SamModel) -> None:
    one, same, other = (untrained(tiny_sam.variant, seed) for seed in (1, 1, 2))
    assert not one.weights_trained
    assert one.card.license == "none, the weights are random"
    assert one.card.source == "random weights of seed 1, not trained"
    assert one.checkpoint_sha256 == same.checkpoint_sha256 != other.checkpoint_sha256


def test_random_weights_keep_activations_near_one(tiny_sam: SamModel) -> None:
    """A layer whose weights were too large would show in the embeddings of a picture of noise."""
    encoder, decoder = components(tiny_sam)
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        embeddings = encoder.module(255 * torch.rand(encoder.example_inputs[0].shape, generator=generator))
        masks, _ = decoder.module(embeddings, *decoder.example_inputs[1:])
    assert 0.1 < float(embeddings.std()) < 10
    assert 0.1 < float(masks.std()) < 100
