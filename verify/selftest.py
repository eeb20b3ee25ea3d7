"""The self-test that goes into a bundle: a small picture, a few prompts, and the masks that the bundle itself gives."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..contract import ImageArray, Session
from ..errors import AccuracyError
from ..manifest import FileEntry, SelfTest, SelfTestCase
from ..runtimes.picture_model import EncodedPicture
from ..runtimes.segmenter import Segmenter
from ..runtimes.selftest import mask_iou
from .gate import Sessions
from .metrics import coverage
from .prompt import Box, Points, Prompt, as_runtime_prompt
from .suite import Suite, SuitePicture

MIN_IOU = 0.97
LONGEST_SIDE = 256
CASES = 3
# Of a bundle with several variants, so that enough are left on which all of them agree.
CASES_TO_AGREE_ON = 9
# Well above what a device must reach, since devices differ from each other, too.
AGREEMENT = 0.985
PICTURES_TRIED = 6
COVERAGE = (0.005, 0.95)
SAME_MASK_IOU = 0.9
FOLDER = "selftest"

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class BundleSelfTest:
    """What the manifest says of it, and its files by bundle path."""

    selftest: SelfTest
    files: Mapping[str, bytes]


@dataclass(frozen=True, eq=False)
class FoundCase:
    prompt: Prompt
    mask: Mask


@dataclass(frozen=True, eq=False)
class FoundCases:
    """A picture, uint8 [H, W, 3], and prompts on it, more than a self-test needs where several variants share it."""

    image: ImageArray
    cases: tuple[FoundCase, ...]


def build_selftest(sessions: Sessions, suite: Suite) -> BundleSelfTest:
    """Return the self-test of the verified graphs that `sessions` run. Raises AccuracyError as `find_cases`."""
    return selftest_of(find_cases(sessions, suite), suite)


def find_cases(sessions: Sessions, suite: Suite, *, most: int = CASES) -> FoundCases:
    """Return what the verified graphs that `sessions` run answer to up to `most` prompts.

    The picture is the one with the most usable prompts among the suite's first, reduced to `LONGEST_SIDE`.

    Raises:
        AccuracyError: no prompt gives a mask that is neither empty nor all of the picture.
    """
    segmenter = _segmenter(sessions, suite)
    best = FoundCases(np.zeros((1, 1, 3), np.uint8), ())
    for entry in _promising(suite):
        image = reduced(entry.picture.image)
        cases = _cases(segmenter, entry, image, most)
        if len(cases) > len(best.cases):
            best = FoundCases(image, tuple(cases))
        if len(cases) == most:
            break
    if not best.cases:
        raise AccuracyError(
            f"{suite.model}: no mask for the self-test on {len(suite.pictures)} pictures is neither empty nor all of "
            "the picture; give pictures of the kind that the model was trained on"
        )
    return best


def agreed(found: FoundCases, sessions: Sessions, suite: Suite) -> FoundCases:
    """Return the cases to which another variant of the bundle gives the same mask."""
    segmenter = _segmenter(sessions, suite)
    encoded = segmenter.encode(found.image)
    masks = [_mask(segmenter, encoded, case.prompt) for case in found.cases]
    pairs = zip(found.cases, masks, strict=True)
    return FoundCases(found.image, tuple(case for case, mask in pairs if mask_iou(case.mask, mask) >= AGREEMENT))


def selftest_of(found: FoundCases, suite: Suite) -> BundleSelfTest:
    """Return the self-test with the first of the cases. Raises AccuracyError if there is none."""
    if not found.cases:
        raise AccuracyError(
            f"{suite.model}: the variants agree on no mask of the self-test's picture to an IoU of {AGREEMENT:g}; "
            "export them one at a time"
        )
    return _files(found.image, list(found.cases[:CASES]))


def _segmenter(sessions: Sessions, suite: Suite) -> Segmenter:
    by_name: dict[str, Session] = {str(name): session for name, session in sessions.items()}
    return Segmenter(by_name, suite.preprocessing, suite.mask_rule)


def reduced(image: ImageArray) -> ImageArray:
    """Return the picture with its longest side at most `LONGEST_SIDE`."""
    height, width = image.shape[:2]
    scale = min(1.0, LONGEST_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))


def _promising(suite: Suite) -> list[SuitePicture]:
    """Pictures with the most stable prompts, or, with untrained weights, just the first ones."""
    usable = [entry for entry in suite.pictures if min(entry.picture.hw) > 1]
    ranked = sorted(usable, key=lambda entry: -sum(case.prompt.role == "stable" for case in entry.cases))
    return ranked[:PICTURES_TRIED]


def _cases(segmenter: Segmenter, entry: SuitePicture, image: ImageArray, most: int) -> list[FoundCase]:
    """Return up to `most` prompts with different masks of a sensible size; no mask is fed back."""
    role = "stable" if any(case.prompt.role == "stable" for case in entry.cases) else "parity"
    scale = (image.shape[1] / entry.picture.hw[1], image.shape[0] / entry.picture.hw[0])
    prompts = [
        _scaled(case.prompt, scale)
        for case in entry.cases
        if case.prompt.role == role and case.prompt.mask_input is None
    ]
    encoded = segmenter.encode(image)
    kept: list[FoundCase] = []
    for prompt in prompts:
        mask = _mask(segmenter, encoded, prompt)
        sensible = COVERAGE[0] <= coverage(mask) <= COVERAGE[1]
        if sensible and all(mask_iou(mask, other.mask) < SAME_MASK_IOU for other in kept):
            kept.append(FoundCase(prompt, mask))
        if len(kept) == most:
            break
    return kept


def _mask(segmenter: Segmenter, encoded: EncodedPicture, prompt: Prompt) -> Mask:
    """Return the single mask, [H, W]; which of several the model prefers may differ between engines."""
    masks = segmenter.decode(encoded, as_runtime_prompt(prompt), multimask_output=False).masks
    mask: Mask = masks[0, 0].astype(np.bool_)
    return mask


def _scaled(prompt: Prompt, scale: tuple[float, float]) -> Prompt:
    """Return the prompt in the reduced picture, in tenths of a pixel."""
    x, y = scale
    box: Box | None = None
    if prompt.box is not None:
        x0, y0, x1, y1 = prompt.box
        box = (round(x0 * x, 1), round(y0 * y, 1), round(x1 * x, 1), round(y1 * y, 1))
    points: Points = tuple((round(px * x, 1), round(py * y, 1)) for px, py in prompt.points)
    return Prompt(prompt.role, prompt.kind, box, points, prompt.labels)


def _files(image: ImageArray, found: list[FoundCase]) -> BundleSelfTest:
    picture = f"{FOLDER}/picture.png"
    files = {picture: _png(image)}
    cases = []
    for index, case in enumerate(found):
        path = f"{FOLDER}/mask_{index}.png"
        files[path] = _png(case.mask.astype(np.uint8) * 255)
        cases.append(_manifest_case(case.prompt, _entry(path, files[path])))
    return BundleSelfTest(SelfTest(_entry(picture, files[picture]), MIN_IOU, tuple(cases)), files)


def _manifest_case(prompt: Prompt, mask: FileEntry) -> SelfTestCase:
    return SelfTestCase(
        mask=mask,
        multimask_output=False,
        index=0,
        box=prompt.box,
        point_coords=prompt.points or None,
        point_labels=prompt.labels or None,
    )


def _entry(path: str, content: bytes) -> FileEntry:
    return FileEntry(path, hashlib.sha256(content).hexdigest(), len(content))


def _png(pixels: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", optimize=True)
    return stream.getvalue()
