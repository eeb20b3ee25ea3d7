"""Every reader of files that a stranger could give, on thousands of damaged and misleading ones.

`SAM_EXPORT_HOSTILE_CASES=20000 pytest tests/hostile` tries as many for each reader; what it finds becomes a test.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save

from sam_export.bundle import write_bundle
from sam_export.errors import BundleError, CheckpointError, EmbeddingError, ImageError, RequestError, SamExportError
from sam_export.manifest import MANIFEST_NAME, read_manifest
from sam_export.models.loading import read_checkpoint
from sam_export.quantize.found import FOLDER, found_names
from sam_export.quantize.plan import decode_plan
from sam_export.runtimes.embedding_file import read_embedding, read_header
from sam_export.runtimes.images import read_image
from sam_export.search_record import decode_records

from ..bundles import draft
from .limits import bounded
from .mutations import hostile

CASES = int(os.environ.get("SAM_EXPORT_HOSTILE_CASES", "150"))
SEMB = Path(__file__).parents[1] / "goldens" / "semb"
FOUND = Path(__file__).parents[2] / "quantize" / FOLDER
try_many = settings(
    max_examples=CASES,
    deadline=None,
    derandomize="SAM_EXPORT_HOSTILE_CASES" not in os.environ,
    database=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)


def require_own_error(read: Callable[[], object], error: type[SamExportError], what: str) -> None:
    """Fail unless the file is read, or refused by the reader's own error in one line that prints."""
    with bounded(what):
        try:
            read()
        except error as exc:
            text = str(exc)
            assert text
            assert "\n" not in text, text
            assert len(text) < 20_000
            text.encode("utf-8", "backslashreplace")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Path:
    (folder / "graphs").mkdir()
    return write_bundle(draft(folder / "graphs"), folder)


def pictures() -> dict[str, bytes]:
    """One of each format that people have, a few hundred bytes each."""
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    made = {}
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"):
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, kind)
        made[kind] = stream.getvalue()
    return made


def checkpoints() -> dict[str, bytes]:
    state = {"image_encoder.a": torch.arange(6.0).reshape(2, 3), "mask_decoder.b": torch.ones(4)}
    made = {"safetensors": save(state)}
    for name, new in (("zip", True), ("legacy", False)):
        stream = io.BytesIO()
        torch.save({"model": state, "epoch": 3}, stream, _use_new_zipfile_serialization=new)
        made[name] = stream.getvalue()
    return made


@try_many
@given(data=st.data())
def test_manifests(bundle: Path, data: st.DataObject) -> None:
    original = (bundle / MANIFEST_NAME).read_bytes()
    try:
        (bundle / MANIFEST_NAME).write_bytes(data.draw(hostile(original, is_json=True)))
        require_own_error(lambda: read_manifest(bundle), BundleError, "bundle.json")
    finally:
        (bundle / MANIFEST_NAME).write_bytes(original)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.name for path in SEMB.glob("*.semb")))
@try_many
@given(data=st.data())
def test_embeddings(folder: Path, name: str, data: st.DataObject) -> None:
    path = folder / name
    path.write_bytes(data.draw(hostile((SEMB / name).read_bytes())))
    require_own_error(lambda: read_embedding(path), EmbeddingError, name)
    require_own_error(lambda: read_header(path), EmbeddingError, name)


@pytest.mark.slow
@pytest.mark.parametrize("kind", pictures())
@try_many
@given(data=st.data())
def test_pictures(kind: str, data: st.DataObject) -> None:
    content = data.draw(hostile(pictures()[kind]))
    require_own_error(lambda: read_image(content), ImageError, kind)


@pytest.mark.slow
@pytest.mark.parametrize("kind", checkpoints())
@try_many
@given(data=st.data())
def test_checkpoints(folder: Path, kind: str, data: st.DataObject) -> None:
    path = folder / ("model.safetensors" if kind == "safetensors" else "model.pth")
    path.write_bytes(data.draw(hostile(checkpoints()[kind])))
    require_own_error(lambda: read_checkpoint(path), CheckpointError, kind)


@pytest.mark.parametrize("name", found_names())
@try_many
@given(data=st.data())
def test_recipes(name: str, data: st.DataObject) -> None:
    content = data.draw(hostile((FOUND / f"{name}.json").read_bytes(), is_json=True))
    require_own_error(lambda: decode_plan(content, "recipe.json"), RequestError, name)


@try_many
@given(data=st.data())
def test_search_records(data: st.DataObject) -> None:
    content = data.draw(hostile((FOUND / "lite_medsam-onnx-int8-search.json").read_bytes(), is_json=True))
    require_own_error(lambda: decode_records(content, "search.json"), RequestError, "search.json")


def test_a_reader_that_lets_another_error_through_is_noticed() -> None:
    def read() -> object:
        raise KeyError("tensors")

    with pytest.raises(KeyError):
        require_own_error(read, BundleError, "a reader")


class Payload:
    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, ("executed",))


def test_code_in_a_pickle_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.pth"
    path.write_bytes(pickle.dumps({"model": Payload()}))
    with pytest.raises(CheckpointError):
        read_checkpoint(path)
    assert not (tmp_path / "executed").exists()


def test_a_picture_that_unpacks_to_gigabytes_is_refused_by_its_header() -> None:
    stream = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(stream, "PNG")
    with bounded("bomb"), pytest.raises(ImageError, match="pixels"):
        read_image(stream.getvalue())


@pytest.mark.slow
def test_a_checkpoint_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
        with archive.open("archive/data/0", "w", force_zip64=True) as entry:
            for _ in range(5 * 2**10):
                entry.write(bytes(2**20))
    with bounded("bomb"), pytest.raises(CheckpointError):
        read_checkpoint(path)


@pytest.mark.parametrize("names", [["archive/data.pkl"], ["model.pth"], ["model.pth", "archive/data.pkl"]])
def test_what_a_checkpoint_unpacks_to_is_known_before(tmp_path: Path, names: list[str]) -> None:
    """Zeros in place of the pickle, as a checkpoint alone in an archive, and in an archive within one."""
    content = bytes(64 * 2**20)
    for name in reversed(names):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, content)
        content = stream.getvalue()
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    assert str(caught.value.__cause__) == "unpacks to many times its size"


@pytest.mark.parametrize("depth", [100, 10_000, 1_000_000])
def test_json_of_any_depth_is_refused(bundle: Path, depth: int) -> None:
    original = (bundle / MANIFEST_NAME).read_bytes()
    try:
        (bundle / MANIFEST_NAME).write_bytes(b'{"model":' + b"[" * depth + b"]" * depth + b"}")
        require_own_error(lambda: read_manifest(bundle), BundleError, "depth")
    finally:
        (bundle / MANIFEST_NAME).write_bytes(original)


def test_a_graph_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "graphs").mkdir()
    made = write_bundle(draft(tmp_path / "graphs"), tmp_path)
    document = json.loads((made / MANIFEST_NAME).read_bytes())
    graph = made / document["variants"][0]["graphs"]["image_encoder"]["open_path"]
    graph.rename(tmp_path / "elsewhere.onnx")
    graph.symlink_to(tmp_path / "elsewhere.onnx")
    with pytest.raises(BundleError):
        read_manifest(made)


def test_a_zip_whose_names_are_no_text_is_refused(tmp_path: Path) -> None:
    """What one of the damaged files had come to: zipfile lets a UnicodeDecodeError through."""
    path = tmp_path / "model.pth"
    stream = io.BytesIO()
    torch.save({"a": torch.ones(2)}, stream)
    content = bytearray(stream.getvalue())
    at = content.find(b"PK\x03\x04")
    content[at + 6 : at + 8] = (0x800).to_bytes(2, "little")
    content[at + 30] = 0x80
    path.write_bytes(content)
    with pytest.raises(CheckpointError):
        read_checkpoint(path)
