"""A disk that fills up during an export is said to be full, whatever the converter makes of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sam_export.errors import OutputError
from sam_export.exporters import TARGETS, export
from sam_export.models import SamModel, components

from ..disks import small_disk


@pytest.fixture
def full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where converters put their temporary files; the weights alone have ten times its size."""
    with small_disk(tmp_path / "full", kilobytes=60) as folder:
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        yield folder


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_a_disk_that_fills_up(target: str, tiny_sam: SamModel, full_disk: Path) -> None:
    encoder, _ = components(tiny_sam)
    with pytest.raises(OutputError, match=r"; free space, or set TMPDIR") as caught:
        export(encoder, target, "fp32", full_disk / "work")
    assert str(full_disk) in str(caught.value)
    assert "\n" not in str(caught.value)
