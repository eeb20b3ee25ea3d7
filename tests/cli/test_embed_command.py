"""`sam-export embed`: every picture once, resumable, and what cannot be read is listed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam_export.cli import main
from sam_export.runtimes import open_bundle
from sam_export.runtimes.embedding_file import read_header


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "below").mkdir(parents=True)
    for index in range(12):
        pixels = np.random.default_rng(index).integers(0, 256, (20 + index, 30, 3), np.uint8)
        Image.fromarray(pixels).save(folder / ("below" if index % 2 else ".") / f"{index}.png")
    (folder / "notes.txt").write_text("no picture")
    return folder


def embed(bundle: Path, folder: Path, out: Path, *options: str) -> int:
    return main(["embed", str(bundle), str(folder), "-o", str(out), *options])


def written(out: Path) -> dict[str, int]:
    """Every file with when it was written."""
    return {path.relative_to(out).as_posix(): path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}


def test_every_picture_becomes_a_file_that_answers(bundle: Path, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert embed(bundle, folder, out, "--dtype", "fp32") == 0
    assert set(written(out)) == {f"{'below/' if index % 2 else ''}{index}.semb" for index in range(12)}
    server, client = open_bundle(bundle), open_bundle(bundle)
    server.set_image(Image.open(folder / "below" / "3.png"))
    client.load_embedding(out / "below" / "3.semb")
    for one, other in zip(server.predict(box=(2, 2, 20, 15)), client.predict(box=(2, 2, 20, 15)), strict=True):
        assert np.array_equal(one, other)


def test_a_second_run_encodes_only_what_is_missing_or_changed(
    bundle: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    embed(bundle, folder, out)
    before = written(out)
    (out / "0.semb").unlink()
    (out / "2.semb").write_bytes((out / "2.semb").read_bytes()[:-1])
    Image.new("RGB", (9, 9)).save(folder / "4.png")
    capsys.readouterr()
    assert embed(bundle, folder, out) == 0
    assert "3 encoded, 9 kept from an earlier run, 0 failed" in capsys.readouterr().out
    after = written(out)
    assert {name for name in after if after[name] != before[name]} == {"0.semb", "2.semb", "4.semb"}
    embed(bundle, folder, out, "--dtype", "int8")
    assert {entry.dtype for entry in read_header(out / "6.semb").tensors} == {"int8"}


def test_what_cannot_be_read_is_listed(
    bundle: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "5.png").write_bytes(b"no picture")
    (folder / "7.png").write_bytes((folder / "0.png").read_bytes()[:500])
    out = tmp_path / "out"
    assert embed(bundle, folder, out, "--json") == 2
    result = json.loads(capsys.readouterr().out)
    assert [Path(row["picture"]).name for row in result["failed"]] == ["5.png", "7.png"]
    assert "not a picture" in result["failed"][0]["error"]
    assert len(result["pictures"]) == len(written(out)) == 12


def test_a_place_that_cannot_be_written(
    bundle: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "below").write_text("in the way")
    assert embed(bundle, folder, tmp_path / "out") == 2
    assert "cannot be written" in capsys.readouterr().err
    assert embed(bundle, tmp_path / "none", tmp_path / "elsewhere") == 2
    assert not (tmp_path / "elsewhere").exists()
