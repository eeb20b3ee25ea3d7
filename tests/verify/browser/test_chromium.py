"""Chromium as a process: what it needs of the system."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import pytest

from sam_export.verify.browser.chromium import Chromium, find_chromium, short_folder
from sam_export.verify.browser.page import what_is_missing

SECONDS_TO_END_BY_ITSELF = 4


def test_a_short_folder_stays() -> None:
    assert short_folder("/var/tmp/mine") == "/var/tmp/mine"
    assert short_folder("/home/" + "ü" * 40) == "/tmp"


@pytest.mark.skipif(what_is_missing() is not None, reason=str(what_is_missing()))
@pytest.mark.slow
def test_it_lives_where_temporary_files_have_long_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its socket would have no room there, and it ends within a second."""
    folder = tmp_path / ("of a long name " * 6)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    program = find_chromium()
    assert program is not None
    chromium = Chromium(program)
    time.sleep(SECONDS_TO_END_BY_ITSELF)
    assert chromium.running
    chromium.close()
