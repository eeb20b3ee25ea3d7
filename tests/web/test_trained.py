"""A web bundle of trained weights in Chromium: fp32 gives Python's masks, int8 those that its gate allows."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sam_export.jobs import ExportRequest, Job
from sam_export.manifest import read_manifest
from sam_export.models import SamModel
from sam_export.pipeline import export_model
from sam_export.verify.browser import BROWSER_ENGINE
from sam_export.verify.limits import LIMITS
from sam_export.verify.pictures import picture_set
from sam_export.verify.suite import build_suite

from .cases import SETTINGS, WebCase, write_cases
from .conftest import Npm

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # an export whose gate is run in a browser, first

MOST_BYTES = 12e6
PICTURES = 1


@pytest.fixture(scope="module")
def bundle(npm: Npm, lite_medsam: SamModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("chromium") is None:
        pytest.skip("chromium is not installed: nothing is run in a browser")
    out = tmp_path_factory.mktemp("trained")
    suite = build_suite(lite_medsam, picture_set("gate")[:PICTURES])
    jobs = (Job("web", "fp32"), Job("web", "int8"))
    for outcome in export_model(lite_medsam, jobs, suite, ExportRequest("lite_medsam", ("web",), out)):
        assert outcome.error is None
    return out / "lite_medsam-web"


def test_int8_comes_first_and_is_small_enough_to_download(bundle: Path) -> None:
    first, second = read_manifest(bundle).variants
    assert (first.name, first.devices) == ("int8", ("wasm",))
    assert (second.name, second.devices) == ("fp32", ("wasm", "webgpu"))
    assert first.bytes <= MOST_BYTES
    for variant in (first, second):
        assert variant.accuracy.evaluated_by.startswith(BROWSER_ENGINE)
        assert variant.accuracy.stable is not None


def test_masks(npm: Npm, bundle: Path) -> None:
    picture = picture_set("gate")[0].image
    height, width = picture.shape[:2]
    prompts = [{"box": [round(0.2 * width), round(0.2 * height), round(0.8 * width), round(0.8 * height)]}]
    prompts += [{"box": [round(0.1 * width), round(0.3 * height), round(0.5 * width), round(0.9 * height)]}]
    cases = [
        WebCase(bundle, picture, prompts, variant="fp32", runs="fp32", reference="fp32", settings=SETTINGS[:1]),
        # In 8 bits the masks of points, which these weights were not trained on, differ as much between two engines as
        # from fp32 (embeddings: 23 and 24 dB; masks found again: 2 of 12 and 6 of 11), so there is none to agree with.
        WebCase(
            bundle,
            picture,
            prompts,
            LIMITS["int8"].worst_iou,
            runs="int8",
            reference="fp32",
            settings=SETTINGS[::2],
            everything=False,
        ),
    ]
    folder = write_cases(bundle.parent, cases)
    npm("run", "test:browser", "--", "wasm", "trained", environment={"SAM_WEB_CASES": str(folder)})
