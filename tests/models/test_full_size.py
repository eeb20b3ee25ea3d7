"""Each architecture at full width, depth and input size against an implementation that this project did not write.

The weights are made in the other implementation and carried over by name, one set in memory. One picture, one box:
every kind of prompt is compared at reduced sizes, in each family's own file. `pytest --parities FILE` keeps the errors.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from sam_export.contract import MaskRule, PointLabel
from sam_export.full_size import Parity
from sam_export.models import FAMILIES, VARIANTS, SamModel, Variant, components
from sam_export.models.catalog import same_graphs

from .independent import Independent, independent
from .prompt_cases import PromptCase, prompt_cases
from .sam2_answers import MAX_RELATIVE_ERROR, picture, relative_error

# Upstream's SAM 2 chooses its attention kernels in a way that torch wants to give up.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*sdp_kernel:FutureWarning")]
# Seconds each; the others are for `make test-full-size`.
SMALL = ("lite_medsam", "mobile_sam")
ROWS = [
    pytest.param(row, id=name, marks=() if name in SMALL else pytest.mark.full_size)
    for name, row in VARIANTS.items()
    if same_graphs(name) == name
]
Keep = Callable[[Parity], None]


@pytest.fixture
def keep(request: pytest.FixtureRequest) -> Keep:
    path: Path | None = request.config.getoption("--parities")

    def write(found: Parity) -> None:
        if path is not None:
            with path.open("ab") as lines:
                lines.write(msgspec.json.encode(found) + b"\n")

    return write


def carried(row: Variant, reference: Independent) -> SamModel:
    """This project's module on the reference's own tensors."""
    family = FAMILIES[row.family]
    module = family.build(row)
    weights = dict(reference.weights)
    module.load_state_dict(family.to_upstream(weights) if family.to_upstream else weights, assign=True)
    return SamModel(row, module.eval().requires_grad_(False), "", weights_trained=False)


def fed(case: PromptCase, rule: MaskRule) -> tuple[Tensor, ...]:
    """What the decoder of this rule is given for a box, as the runtimes give it."""
    coords, labels, *masks = case.feeds(rule.mask_hw, padding=rule.padding_point == "always")
    missing = 0 if rule.point_slots is None else rule.point_slots - labels.shape[1]
    coords = F.pad(coords, (0, 0, 0, missing))
    labels = F.pad(labels, (0, missing), value=float(PointLabel.PADDING))
    return (coords, labels, *masks) if rule.takes_mask else (coords, labels)


@pytest.mark.parametrize("row", ROWS)
def test_one_picture_and_one_box(row: Variant, keep: Keep, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    image = picture(row.preprocessing.image_hw[0])
    box = prompt_cases(row.decoder.frame_size, row.mask_rule.mask_hw[0])["box"]
    with independent(row, tmp_path / "source") as reference:
        features, name = reference.encode(image), reference.name
        masks, scores = reference.decode(features, box)
        encoder, decoder = components(carried(row, reference))
    with torch.no_grad():
        encoded = encoder.module(image)
        low_res_masks, iou_predictions, *_ = decoder.module(*features, *fed(box, row.mask_rule))
    tokens = reference.tokens or tuple(range(low_res_masks.shape[1]))
    found = Parity(
        model=row.name,
        reference=name,
        embeddings=max(map(relative_error, features, encoded if isinstance(encoded, tuple) else (encoded,))),
        masks=relative_error(masks, low_res_masks[:, tokens]),
        scores=relative_error(scores, iou_predictions[:, tokens]),
        test=request.node.nodeid,
        date=f"{datetime.now(UTC):%Y-%m-%d}",
    )
    keep(found)
    assert found.largest < MAX_RELATIVE_ERROR, found
