from __future__ import annotations

import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Size, Tensor, nn

from sam_export.errors import CheckpointError
from sam_export.models.loading import check_layout, load_state_dict, read_checkpoint


@pytest.fixture
def weights() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {
        "image_encoder.norm.weight": torch.randn(8, generator=generator),
        "mask_decoder.iou_token.weight": torch.randn(1, 4, generator=generator),
        "image_encoder.bn.num_batches_tracked": torch.tensor(5),
    }


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "fine tuned ü.pth"


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=0)


def refusal(file: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_state_dict(file)
    said = str(caught.value)
    assert said.startswith(f"{file}: ")
    assert "\n" not in said
    assert ";" in said or "(run" in said, "no next step"
    return said


def test_zip_format(file: Path, weights: dict[str, Tensor]) -> None:
    torch.save(OrderedDict(weights), file)
    assert_same(load_state_dict(file), weights)


def test_format_before_torch_1_6(file: Path, weights: dict[str, Tensor]) -> None:
    torch.save(weights, file, _use_new_zipfile_serialization=False)
    assert_same(load_state_dict(file), weights)


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth"])
def test_safetensors_by_content(tmp_path: Path, weights: dict[str, Tensor], name: str) -> None:
    save_file(weights, tmp_path / name)
    found = load_state_dict(tmp_path / name)
    assert_same(dict(sorted(found.items())), dict(sorted(weights.items())))


def test_a_whole_training_state(file: Path, weights: dict[str, Tensor]) -> None:
    inside = {f"module.{name}": tensor for name, tensor in weights.items()}
    torch.save({"model": inside, "epoch": 3, "optimizer": {"lr": 0.1}}, file)
    content = read_checkpoint(file)
    assert_same(content.tensors, weights)
    assert content.stripped == ("taken from 'model', beside epoch, optimizer", "prefix 'module.' taken off")


@pytest.mark.parametrize(
    ("wrappers", "prefix"),
    [
        (("state_dict",), ""),
        (("model", "state_dict"), ""),
        ((), "module."),
        ((), "module._orig_mod."),
        ((), "_orig_mod."),
    ],
    ids=["state_dict", "two deep", "DataParallel", "both", "compiled"],
)
def test_nesting_and_prefixes(file: Path, weights: dict[str, Tensor], wrappers: tuple[str, ...], prefix: str) -> None:
    content: object = {prefix + name: tensor for name, tensor in weights.items()}
    for wrapper in wrappers:
        content = {wrapper: content}
    torch.save(content, file)
    assert_same(load_state_dict(file), weights)


def test_a_prefix_on_some_names_only_is_left(file: Path, weights: dict[str, Tensor]) -> None:
    torch.save({**weights, "module.extra": torch.ones(1)}, file)
    assert "module.extra" in load_state_dict(file)


class Hostile:
    """Writes a file when it is unpickled."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.victim),)


@pytest.mark.parametrize("new_format", [True, False], ids=["zip", "legacy"])
def test_pickled_code_is_not_run(file: Path, tmp_path: Path, weights: dict[str, Tensor], new_format: bool) -> None:
    victim = tmp_path / "written"
    torch.save({**weights, "bad": Hostile(victim)}, file, _use_new_zipfile_serialization=new_format)
    assert "holds pickled code (it asks for posix.mkdir)" in refusal(file)
    assert not victim.exists()
    torch.load(file, weights_only=False)
    assert victim.exists(), "the file of this test is not hostile"


def test_bare_pickle_with_code(file: Path, tmp_path: Path) -> None:
    file.write_bytes(pickle.dumps(Hostile(tmp_path / "written")))
    refusal(file)
    assert not (tmp_path / "written").exists()


def test_a_pickled_module(file: Path) -> None:
    torch.save(nn.Linear(2, 2), file)
    assert "pickled code (it asks for torch.nn.modules.linear.Linear)" in refusal(file)


@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.99], ids=str)
@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_cut_short(file: Path, weights: dict[str, Tensor], kind: str, kept: float) -> None:
    if kind == "safetensors":
        save_file(weights, file)
    else:
        torch.save(weights, file, _use_new_zipfile_serialization=kind == "zip")
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * kept)])
    assert ("is empty" if kept == 0 else "--checkpoint") in refusal(file)


def test_a_bit_flipped_in_a_weight(file: Path, weights: dict[str, Tensor]) -> None:
    """The archive is sound and every weight finite: only the checksum, which torch does not look at, can tell."""
    torch.save(weights, file)
    whole = file.read_bytes()
    place = whole.index(weights["image_encoder.norm.weight"].numpy().tobytes())
    file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    torch.load(file, weights_only=True)
    assert "data/0 in it does not have its checksum" in refusal(file)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>", "is a web page"),
        (b"\n<html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "Git LFS pointer"),
        (b"not a checkpoint at all" * 10, "is a text file"),
        (("a" + "ü" * 100).encode(), "is a text file"),
        (b'{"weights": [1, 2]}', "is a text file"),
        (bytes(range(256)) * 4, "is not a checkpoint, or its start is damaged"),
        (b"PK\x03\x04" + bytes(500), "cut short or damaged"),
        (b"\xff" * 8 + b"{}", "safetensors file that was cut short or damaged"),
        (b"\x89PNG\r\n\x1a\n" + bytes(90), "is a PNG picture"),
        (b"\xff\xd8\xff\xe0" + bytes(90), "is a JPEG picture"),
        (b"\x1f\x8b\x08" + bytes(90), "is compressed by gzip"),
        (b"\x93NUMPY" + bytes(90), "is a NumPy array"),
        (b"\x08\x08\x12\x07pytorch" + bytes(90), "looks like an ONNX graph"),
        (pickle.dumps({"lr": 0.1}, protocol=2), "is a pickle that torch.save did not write"),
    ],
    ids=[
        "empty",
        "html",
        "html after a line",
        "lfs",
        "text",
        "text cut in a character",
        "json",
        "bytes",
        "zip head",
        "safetensors head",
        "png",
        "jpeg",
        "gzip",
        "numpy",
        "onnx",
        "pickle",
    ],
)
def test_what_is_no_checkpoint(file: Path, content: bytes, said: str) -> None:
    file.write_bytes(content)
    assert said in refusal(file)


@pytest.mark.parametrize(
    ("name", "said"), [("notes.txt", "is a zip archive that torch.save did not write"), ("a.npy", "holds NumPy arrays")]
)
def test_zip_archives_of_others(file: Path, name: str, said: str) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, "content")
    assert said in refusal(file)


@pytest.mark.parametrize("protocol", [4, 5])
def test_a_pickle_of_another_program(file: Path, protocol: int, recwarn: pytest.WarningsRecorder) -> None:
    """torch warns of the protocol in three lines of its own, which say nothing to whoever gave the file."""
    file.write_bytes(pickle.dumps({"lr": 0.1}, protocol=protocol))
    assert "holds pickled code or objects other than tensors" in refusal(file)
    assert not recwarn.list


FOREIGN_WORDS = ("weights_only", "torch.load", "enforce fail", "Errno", "Unsupported", "magic number", "PyTorch 2")


def test_no_sentence_of_the_reader_reaches_the_user(file: Path, weights: dict[str, Tensor]) -> None:
    torch.save(weights, file)
    zipped = file.read_bytes()
    torch.save(weights, file, _use_new_zipfile_serialization=False)
    legacy = file.read_bytes()
    for content in (zipped[:-400], legacy[:-10], legacy[:40], b"some text", bytes(300), b"PK\x03\x04" + bytes(99)):
        file.write_bytes(content)
        said = refusal(file)
        assert [word for word in FOREIGN_WORDS if word in said] == []
        assert len(said) < len(str(file)) + 150


def test_every_byte_of_the_pickle_flipped_is_an_error_or_harmless(file: Path, weights: dict[str, Tensor]) -> None:
    """Whatever torch's reader raises over a damaged legacy file, only a CheckpointError comes out."""
    torch.save(weights, file, _use_new_zipfile_serialization=False)
    whole = file.read_bytes()
    refused = 0
    for place in range(0, len(whole) - 40, 7):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            load_state_dict(file)
        except CheckpointError:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize("path", ["missing.pth", "."], ids=["missing", "folder"])
def test_no_file(tmp_path: Path, path: str) -> None:
    assert "cannot be read" in refusal(tmp_path / path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"lr": 0.1, "w": torch.ones(1)}, "1 of 2 entries are not plain tensors (lr: float)"),
        ({1: torch.ones(1)}, "1 of 1 entries are not plain tensors"),
        ([torch.ones(1)], "holds list, not named tensors"),
        (torch.ones(1), "not named tensors"),
        ({}, "holds nothing"),
        ({"model": {}}, "holds nothing"),
        ({"w": torch.ones(2, 2).to_sparse()}, "w: a sparse_coo tensor"),
    ],
    ids=["number", "key", "list", "tensor", "empty", "empty inside", "sparse"],
)
def test_content_that_is_not_plain_tensors(file: Path, content: object, said: str) -> None:
    torch.save(content, file)
    assert said in refusal(file)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_one_weight_that_is_not_finite(
    file: Path, weights: dict[str, Tensor], value: float, dtype: torch.dtype
) -> None:
    broken = {name: tensor.to(dtype) for name, tensor in weights.items()}
    broken["image_encoder.norm.weight"][5] = value
    torch.save(broken, file)
    assert "1 of 3 tensors hold NaN or infinity (image_encoder.norm.weight)" in refusal(file)


# --- layout ---

EXPECTED = {f"block.{index}.weight": Size((4, index + 1)) for index in range(10)}


def tensors_of(layout: dict[str, Size]) -> dict[str, Tensor]:
    return {name: torch.zeros(shape) for name, shape in layout.items()}


def test_the_right_layout_passes_in_any_order() -> None:
    check_layout(EXPECTED, tensors_of(dict(reversed(EXPECTED.items()))), "some_sam")


def test_every_kind_of_difference_is_counted_and_named() -> None:
    found = tensors_of(EXPECTED)
    for index in range(2):
        del found[f"block.{index}.weight"]
    found["block.2.weight"] = torch.zeros(4, 7)
    found |= {f"head.{index}": torch.zeros(1) for index in range(9)}
    with pytest.raises(CheckpointError) as caught:
        check_layout(EXPECTED, found, "some_sam: mine.pth")
    said = str(caught.value)
    assert said.startswith("some_sam: mine.pth: 2 missing (block.0.weight, block.1.weight); 9 unexpected (head.0, ")
    assert "head.3, ...)" in said
    assert "1 misshapen (block.2.weight (4, 7) instead of (4, 3))" in said
    assert "7 of 10 tensors fit, so this is another model of the family, a changed one, or an incomplete file" in said
    assert "\n" not in said


@pytest.mark.parametrize("kind", ["missing", "unexpected", "misshapen"])
def test_one_difference_is_enough(kind: str) -> None:
    found = tensors_of(EXPECTED)
    if kind == "missing":
        del found["block.3.weight"]
    elif kind == "unexpected":
        found["extra"] = torch.zeros(1)
    else:
        found["block.3.weight"] = torch.zeros(1, 4)
    with pytest.raises(CheckpointError, match=f"some_sam: 1 {kind} "):
        check_layout(EXPECTED, found, "some_sam")


@pytest.mark.parametrize(
    "found", [{"vision_encoder.layers.0.weight": Size((3,))}, {name: Size((99,)) for name in EXPECTED}]
)
def test_another_family_or_size_is_called_so(found: dict[str, Size]) -> None:
    with pytest.raises(CheckpointError, match=r"only 0 of 10 tensors fit.*another family or size.*sam-export models"):
        check_layout(EXPECTED, tensors_of(found), "some_sam")


def test_a_checkpoint_alone_in_a_zip_is_read(tmp_path: Path) -> None:
    plain, zipped = tmp_path / "weights.pt", tmp_path / "weights.pt.zip"
    torch.save({"model": {"a": torch.arange(3.0)}}, plain)
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(plain, "weights.pt")
        archive.writestr("__MACOSX/._weights.pt", "resources")
    assert load_state_dict(zipped)["a"].tolist() == [0, 1, 2]
    whole = zipped.read_bytes()
    zipped.write_bytes(whole[:60] + bytes([whole[60] ^ 1]) + whole[61:])
    with pytest.raises(CheckpointError, match="unpack it first"):
        load_state_dict(zipped)
