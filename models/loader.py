"""From a checkpoint file to a model in memory, strictly."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Size, Tensor, nn

from ..manifest import ModelCard, file_sha256
from .fitting import Layout, fit, matches, missing_parts
from .image_size import fit_positions, published_name
from .loading import check_layout, read_checkpoint
from .variants import Variant

TABLE = re.compile(r"(embed|embed_window|embeddings(\.\d+)?|tokens?|gaussian_matrix)(\.weight)?$")
ToUpstream = Callable[[dict[str, Tensor]], dict[str, Tensor]]


@dataclass(frozen=True)
class SamModel:
    """A plain torch module in eval mode and fp32, with upstream's key layout, and where its weights came from.

    `notes`: what was done to the file's keys to make them fit, for the user to see. `own_file`: the name of a user's
    own checkpoint, None for the variant's. `seed`: of random weights, None for a checkpoint's.
    `borrowed_parts`: those that the user's file lacks, and that are the variant's own.
    """

    variant: Variant
    module: nn.Module
    checkpoint_sha256: str
    weights_trained: bool
    notes: tuple[str, ...] = ()
    own_file: str | None = None
    seed: int | None = None
    borrowed_parts: tuple[str, ...] = ()

    @property
    def card(self) -> ModelCard:
        """Licence and source of the weights; of a user's own file nothing but its name is known.

        Random weights belong to nobody, and the card must not name a checkpoint that had no part in them.
        """
        row = self.variant
        licence, source = row.full_license, row.source.address
        if self.own_file is not None:
            licence, source = "that of the checkpoint's owner", f"--checkpoint {self.own_file}"
        if self.borrowed_parts:
            licence += f"; of the rest: {row.full_license}"
            source += f"; {', '.join(self.borrowed_parts)} of {row.source.address}"
        if self.seed is not None:
            licence, source = "none, the weights are random", f"random weights of seed {self.seed}, not trained"
        return ModelCard(row.name, row.family, licence, source, self.checkpoint_sha256, self.seed)


def load_into(
    module: nn.Module,
    variant: Variant,
    checkpoint: Path,
    to_upstream: ToUpstream | None = None,
    *,
    base: Callable[[], Path] | None = None,
) -> SamModel:
    """Return the module with the file's weights, whose layout `to_upstream` may know how to rename.

    `base`: gives the checkpoint that parts are taken from of which the file holds nothing, if it holds the others.

    Raises:
        CheckpointError: damaged, hostile, or not this family's layout (the keys are listed).
    """
    layout = layout_of(module)
    state, notes = _fitted_state(checkpoint, layout, variant, to_upstream)
    digest = file_sha256(checkpoint)
    parts = missing_parts(state, layout) if base and _fits_as_far_as_it_goes(state, layout) else ()
    if base and parts:
        rest = base()
        others, _ = _fitted_state(rest, layout, variant, to_upstream)
        state |= {name: tensor for name, tensor in others.items() if name.partition(".")[0] in parts}
        digest = hashlib.sha256(f"{digest} {file_sha256(rest)}".encode()).hexdigest()
        notes = (*notes, f"{checkpoint.name}: {', '.join(parts)} not in it, taken from {variant.name}'s own weights")
    check_layout(layout, state, f"{variant.name}: {checkpoint}")
    module.eval()
    module.load_state_dict(state)
    module.float().requires_grad_(False)
    return SamModel(variant, module, digest, weights_trained=True, notes=notes, borrowed_parts=parts)


def layout_of(module: nn.Module) -> dict[str, Size]:
    return {name: tensor.shape for name, tensor in module.state_dict().items()}


def _fitted_state(
    path: Path, layout: Layout, variant: Variant, to_upstream: ToUpstream | None
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the file's tensors under the layout's names, as far as they fit, and what was done to the names."""
    content = read_checkpoint(path)
    fitted = fit(content.tensors, layout, to_upstream)
    tensors, phrases = fitted.tensors, (*content.stripped, *fitted.notes)
    if variant.name != published_name(variant.name):
        tensors, interpolated = fit_positions(tensors, layout)
        phrases = (*phrases, *interpolated)
    return _without_unused(tensors, variant), tuple(f"{path.name}: {phrase}" for phrase in phrases)


def _fits_as_far_as_it_goes(state: dict[str, Tensor], layout: Layout) -> bool:
    return matches(state, layout) == len(state)


def random_model(module: nn.Module, variant: Variant, *, seed: int = 0) -> SamModel:
    """Return the module with seeded random weights of a trained one's scale; the hash is over them."""
    generator = torch.Generator().manual_seed(seed)
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(_random_values(name, tensor, generator))
        digest.update(tensor.numpy().tobytes())
    return SamModel(variant, module.eval().requires_grad_(False), digest.hexdigest(), weights_trained=False, seed=seed)


def _without_unused(state: dict[str, Tensor], variant: Variant) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if not name.startswith(variant.unused_keys)}


def _random_values(name: str, tensor: Tensor, generator: torch.Generator) -> Tensor:
    """Return values that keep activations near 1 through any number of layers.

    Scales of norms and variances lie around 1, matrices keep the size of what they multiply, and tables that are
    added to activations (positions, tokens, labels) are as large as those.
    """
    noise = torch.randn(tensor.shape, generator=generator)
    if TABLE.search(name):
        return noise
    if name.endswith("running_var") or (tensor.dim() == 1 and name.endswith("weight")):
        return 1 + 0.1 * noise.clamp(-2, 2)
    if tensor.dim() <= 1:
        return 0.1 * noise
    return noise / math.sqrt(max(tensor[0].numel(), 1))
