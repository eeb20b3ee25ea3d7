"""When a candidate fails, the component that is wrong is the one that is named."""

from __future__ import annotations

import re

import pytest

from sam_export.contract import ComponentName
from sam_export.models import SamModel
from sam_export.verification import Failed
from sam_export.verify.blame import blame
from sam_export.verify.gate import verify
from sam_export.verify.limits import limits_for
from sam_export.verify.pictures import picture_set
from sam_export.verify.suite import build_suite
from sam_export.verify.torch_session import torch_sessions

from .test_gate import WRONG_OUTPUTS
from .wrong_session import WrongSession


@pytest.mark.parametrize(("wrong", "change"), [("image_encoder", "zeros"), ("mask_decoder", "masks transposed")])
def test_the_wrong_component_is_named(tiny_sam: SamModel, wrong: ComponentName, change: str) -> None:
    suite = build_suite(tiny_sam, picture_set("gate")[:1])
    reference = torch_sessions(tiny_sam)
    sessions = {**reference, wrong: WrongSession(reference[wrong], outputs=WRONG_OUTPUTS[change])}
    verdict = verify(sessions, suite, limits_for("fp32"), evaluated_by="torch")
    assert isinstance(verdict, Failed)
    found = re.search(
        r"mask IoU ([\d.]+) with only the image encoder exchanged, ([\d.]+)", blame(sessions, reference, suite, verdict)
    )
    assert found is not None
    encoder_alone, decoder_alone = map(float, found.groups())
    assert (encoder_alone < decoder_alone) == (wrong == "image_encoder")
    assert max(encoder_alone, decoder_alone) == 1
