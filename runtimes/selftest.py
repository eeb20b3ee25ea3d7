"""The bundle's own case: its picture, its prompts, and the masks that it gave when it was verified.

Engines that return zeros or noise without an error are a known failure of this field; this finds them on the spot.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..contract import EngineReport, ImageArray
from ..errors import BundleError, SelfTestError
from ..manifest import Manifest, SelfTestCase, inside
from .images import read_image
from .prompts import one_prompt

if TYPE_CHECKING:
    from .picture_model import EncodedPicture
    from .segmenter import Segmenter


@dataclass(frozen=True)
class ExpectedMask:
    """A prompt and its mask, [H, W] bool in the self-test picture."""

    case: SelfTestCase
    mask: NDArray[np.bool_]

    @property
    def name(self) -> str:
        return self.case.mask.path


@dataclass(frozen=True)
class SelfTestSuite:
    """`min_iou`: the least IoU of every case; `label` names the bundle in messages."""

    label: str
    picture: ImageArray
    min_iou: float
    cases: tuple[ExpectedMask, ...]


@dataclass(frozen=True)
class SelfTestResult:
    case: str
    iou: float
    min_iou: float


def load_selftest(bundle: Path, manifest: Manifest) -> SelfTestSuite:
    """Return the self-test of a bundle, decoded.

    Raises:
        BundleError: no case at all, or a mask that is empty or not of the picture's size.
        ImageError: the picture or a mask is not a picture.
    """
    selftest = manifest.selftest
    picture = read_image(inside(bundle, selftest.picture.path))
    cases = tuple(
        ExpectedMask(case, read_image(inside(bundle, case.mask.path))[..., 0] > 127) for case in selftest.cases
    )
    if not cases:
        raise BundleError(f"{bundle}: its self-test has no case; export the bundle again")
    for case in cases:
        if case.mask.shape != picture.shape[:2] or not case.mask.any():
            raise BundleError(
                f"{bundle}: {case.name} is empty or not of the self-test picture's size; export the bundle again"
            )
    return SelfTestSuite(str(bundle), picture, selftest.min_iou, cases)


def run_selftest(segmenter: Segmenter, suite: SelfTestSuite) -> tuple[SelfTestResult, ...]:
    """Return the IoU of every case, all of them at least `suite.min_iou`.

    Raises:
        SelfTestError: a case is below; the text names it, its IoU and the engine.
    """
    picture = segmenter.encode(suite.picture)
    results = tuple(_result(segmenter, picture, expected, suite) for expected in suite.cases)
    worst = min(results, key=lambda result: result.iou)
    if not worst.iou >= suite.min_iou:
        engines = ", ".join(f"{component} on {engine_name(report)}" for component, report in segmenter.reports.items())
        raise SelfTestError(
            f"{suite.label}: self-test {worst.case}: mask IoU {worst.iou:.3f}, minimum {suite.min_iou:.3f}, "
            f"with {engines}; use another provider, device or compute precision"
        )
    return results


def mask_iou(reference: NDArray[np.bool_], candidate: NDArray[np.bool_]) -> float:
    """Return intersection over union of two masks of one shape; 1 where both are empty."""
    union = int(np.count_nonzero(reference | candidate))
    return int(np.count_nonzero(reference & candidate)) / union if union else 1.0


def engine_name(report: EngineReport) -> str:
    """Return what messages call an engine: its name, version, device and compute precision."""
    return f"{report.engine} {report.version} ({report.device}, {report.compute_precision})"


def _result(
    segmenter: Segmenter, picture: EncodedPicture, expected: ExpectedMask, suite: SelfTestSuite
) -> SelfTestResult:
    case = expected.case
    prompts = one_prompt(
        case.point_coords,
        case.point_labels,
        case.box,
        None,
        original_hw=picture.original_hw,
        rule=segmenter.mask_rule,
    )
    masks = segmenter.decode(picture, prompts, multimask_output=case.multimask_output).masks[0]
    if not 0 <= case.index < len(masks):
        raise BundleError(
            f"{suite.label}: {expected.name} asks for mask {case.index} of {len(masks)}; export the bundle again"
        )
    return SelfTestResult(expected.name, mask_iou(expected.mask, masks[case.index].astype(np.bool_)), suite.min_iou)
