"""Timings of the web package in Chromium: what is compared, and what is refused. Never how fast it is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from sam_export.benchmarks.browser import (
    CLICK,
    ENCODE,
    FIRST,
    PLAIN,
    markdown,
    page,
    time_each_in_browser,
    time_in_browser,
)
from sam_export.errors import RequestError
from sam_export.models import SamModel
from sam_export.verify.browser.page import what_is_missing

from ..web.tiny_bundle import write_tiny_bundle
from .run_samples import BROWSER_RUN


@pytest.fixture(scope="module")
def bundle(tiny_sam: SamModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    picture = np.random.default_rng(0).integers(0, 256, (60, 100, 3), np.uint8)
    return write_tiny_bundle(tiny_sam, picture, tmp_path_factory.mktemp("graphs"), tmp_path_factory.mktemp("bundles"))


def test_the_table_has_every_number() -> None:
    text = markdown(BROWSER_RUN)
    assert "| int8 | 1 | click | 6 | 5 - 6 | 0.50x |" in text
    assert "| int8 | 1.0 | 0.9 | 0.9926 | 0.9857 |" in text
    assert f"| {PLAIN} | 2.0 | – | – | – |" in text


def test_the_page_says_how_it_was_made_and_has_the_table() -> None:
    text = page(BROWSER_RUN, "browser.json")
    assert text.startswith("# ")
    assert "sam_export.benchmarks.browser lite_medsam-web --threads 1 -o docs/browser`" in text
    assert "`browser.json`" in text
    assert text.endswith(markdown(BROWSER_RUN))


@pytest.mark.skipif(what_is_missing() is not None, reason=str(what_is_missing()))
@pytest.mark.slow
def test_all_is_timed_beside_the_plain_export(bundle: Path, tiny_sam: SamModel, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(bundle, other)
    run = time_in_browser([bundle, other], tiny_sam, threads=[1], rounds=1)
    names = (PLAIN, *(f"{folder}: fp32" for folder in (bundle, other)))
    assert [(one.name, one.what) for one in run.timings] == [
        (name, what) for what in (ENCODE, CLICK, FIRST) for name in names
    ]
    assert all(one.ratio == 1 for one in run.timings if one.name == PLAIN)
    assert run.browser.startswith("Chromium ")
    assert run.engine.startswith("onnxruntime-web 1.")


@pytest.mark.slow
def test_what_cannot_be_timed_is_refused(
    bundle: Path, tiny_sam: SamModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(RequestError, match="asked for int8 in WebAssembly, it has: fp32 for cpu"):
        time_in_browser([bundle], tiny_sam, threads=[1], rounds=1, variants=["int8"])
    stranger = tmp_path / "stranger"
    shutil.copytree(bundle, stranger)
    manifest = json.loads((stranger / "bundle.json").read_text())
    manifest["model"]["model"] = "another"
    (stranger / "bundle.json").write_text(json.dumps(manifest))
    with pytest.raises(RequestError, match="stranger: not of the model of"):
        time_in_browser([bundle, stranger], tiny_sam, threads=[1], rounds=1)
    monkeypatch.setattr("sam_export.benchmarks.browser_pages.what_is_missing", lambda: "there is none")
    with pytest.raises(RequestError, match="in a browser here: there is none"):
        time_in_browser([bundle], tiny_sam, threads=[1], rounds=1)
    runs, absent = time_each_in_browser([bundle], tiny_sam, [1], 1, lambda *_: None)
    assert (runs, absent[0].asked) == ((), True)
    assert "there is none" in absent[0].reason
