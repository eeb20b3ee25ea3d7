"""A bundle is written whole or not at all, and only when it passed."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import brotli
import pytest

from sam_export.bundle import BundleDraft, Candidate, write_bundle
from sam_export.bundle_files import QUALITY, compress
from sam_export.errors import AccuracyError, NotVerifiableError, OutputError, RequestError
from sam_export.manifest import read_manifest
from sam_export.verification import NotRunnable

from .bundles import FAILED, PASSED, SUMMARY, draft, graphs
from .disks import small_disk


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def test_what_is_written_is_what_is_read(work: Path, tmp_path: Path) -> None:
    bundle = write_bundle(draft(work), tmp_path / "dist")
    manifest = read_manifest(bundle)
    assert bundle.name == "lite_medsam-onnx-fp16"
    assert manifest.variants[0].accuracy.stable == SUMMARY
    assert manifest.preprocessing == draft(work).preprocessing
    assert {entry.path for entry in manifest.files()} == {
        str(path.relative_to(bundle).as_posix()) for path in bundle.rglob("*") if path.is_file()
    } - {"bundle.json"}
    assert names(tmp_path / "dist") == [bundle.name]


@pytest.mark.parametrize(
    ("verification", "error"), [(FAILED, AccuracyError), (NotRunnable("needs a Mac"), NotVerifiableError)]
)
def test_what_did_not_pass_is_not_written(work: Path, tmp_path: Path, verification: object, error: type) -> None:
    with pytest.raises(error):
        write_bundle(draft(work, verification), tmp_path / "dist")
    assert not (tmp_path / "dist").exists()


def test_an_existing_bundle_is_kept(work: Path, tmp_path: Path) -> None:
    bundle = write_bundle(draft(work), tmp_path)
    before = (bundle / "bundle.json").read_bytes()
    with pytest.raises(OutputError, match="--overwrite"):
        write_bundle(draft(work), tmp_path)
    assert (bundle / "bundle.json").read_bytes() == before


def test_overwrite_replaces_it_whole(work: Path, tmp_path: Path) -> None:
    bundle = write_bundle(draft(work), tmp_path / "dist")
    (bundle / "stale.txt").write_text("old")
    write_bundle(draft(work), tmp_path / "dist", overwrite=True)
    assert not (bundle / "stale.txt").exists()
    assert names(tmp_path / "dist") == [bundle.name]


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_no_bundle_is_never_replaced(work: Path, tmp_path: Path, kind: str) -> None:
    final = tmp_path / "lite_medsam-onnx-fp16"
    if kind == "file":
        final.write_text("mine")
    elif kind == "folder":
        final.mkdir()
        (final / "mine.txt").write_text("mine")
    else:
        final.symlink_to("nowhere")
    before = names(tmp_path)
    with pytest.raises(OutputError, match="is no bundle, so --overwrite does not replace it; move it away"):
        write_bundle(draft(work), tmp_path, overwrite=True)
    assert names(tmp_path) == before
    assert kind != "folder" or names(final) == ["mine.txt"]


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "full", kilobytes=4) as folder:
        yield folder


def test_a_full_disk_leaves_nothing(work: Path, full_disk: Path) -> None:
    with pytest.raises(OutputError, match="no space left") as caught:
        write_bundle(draft(work), full_disk)
    assert caught.value.__cause__.errno == errno.ENOSPC
    assert names(full_disk) == []


def test_a_place_that_cannot_be_a_folder(work: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_bundle(draft(work), tmp_path / "file" / "below")


def several(work: Path, **changes: object) -> BundleDraft:
    """Return a bundle of two variants with one decoder and two encoders."""
    names = ("int8", "int8+fp32")
    made = []
    for name in names:
        folder = work / name
        folder.mkdir()
        made.append(Candidate(name, ("wasm",), graphs(folder), PASSED))
    (work / names[1] / "image_encoder.onnx").write_bytes(b"another")
    return replace(draft(work), candidates=tuple(made), precision=", ".join(names), **changes)


def test_what_variants_share_is_kept_once(work: Path, tmp_path: Path) -> None:
    bundle = write_bundle(several(work), tmp_path / "dist")
    assert bundle.name == "lite_medsam-onnx"
    first, second = read_manifest(bundle).variants
    assert first.graphs["mask_decoder"] == second.graphs["mask_decoder"]
    assert first.graphs["mask_decoder"].open_path == "int8/mask_decoder.onnx"
    assert first.graphs["image_encoder"].open_path == "int8/image_encoder.onnx"
    assert second.graphs["image_encoder"].open_path == "int8+fp32/image_encoder.onnx"
    assert names(bundle / "int8+fp32") == ["image_encoder.onnx"]


@pytest.mark.parametrize("kept", [True, False])
def test_compressed_graphs_are_weighed_and_kept_if_asked_for(work: Path, tmp_path: Path, kept: bool) -> None:
    made = several(work, keep_compressed=kept)
    for candidate in made.candidates:
        for graph in candidate.graphs:
            compress(graph)
    bundle = write_bundle(made, tmp_path / "dist")
    manifest = read_manifest(bundle)
    for variant in manifest.variants:
        for graph in variant.graphs.values():
            content = brotli.compress((bundle / graph.open_path).read_bytes(), quality=QUALITY)
            assert graph.brotli_bytes == len(content)
            file = bundle / f"{graph.open_path}.br"
            assert (file.read_bytes() == content) if kept else not file.exists()
    assert len([entry for entry in manifest.extras if entry.path.endswith(".br")]) == (3 if kept else 0)


def test_graphs_that_were_not_compressed_have_no_weight(work: Path, tmp_path: Path) -> None:
    (variant,) = read_manifest(write_bundle(draft(work), tmp_path / "dist")).variants
    assert {graph.brotli_bytes for graph in variant.graphs.values()} == {None}


def test_the_time_may_be_given(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    contents = [(write_bundle(draft(work), tmp_path / out) / "bundle.json").read_bytes() for out in ("one", "other")]
    assert contents[0] == contents[1]
    assert b'"created": "1970-01-02T00:00:00+00:00"' in contents[0]


@pytest.mark.parametrize("given", ["yesterday", "", "9" * 30])
def test_a_time_that_is_none(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", given)
    with pytest.raises(RequestError, match=r"SOURCE_DATE_EPOCH=.*whole number"):
        write_bundle(draft(work), tmp_path / "dist")
    assert names(tmp_path / "dist") == []
