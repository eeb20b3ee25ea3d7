"""A bundle from a stranger: everything wrong with it is found before an engine sees a file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sam_export.bundle import write_bundle
from sam_export.errors import BundleError
from sam_export.manifest import read_manifest
from sam_export.verification import TruthSummary

from .bundles import MEASUREMENT, PASSED, draft


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    work = tmp_path / "work"
    work.mkdir()
    return write_bundle(draft(work), tmp_path)


def edit(bundle: Path, change: Callable[[dict[str, Any]], None]) -> None:
    manifest = json.loads((bundle / "bundle.json").read_text())
    change(manifest)
    (bundle / "bundle.json").write_text(json.dumps(manifest))


def test_ground_truth_is_kept(tmp_path: Path) -> None:
    truth = TruthSummary("truth box", 3, 1, 0.9, 0.8, 10.0, 12.0, "coins.png", "truth box 0,0,9,9 (coins.png:1)")
    written = write_bundle(draft(tmp_path, replace(PASSED, measurement=replace(MEASUREMENT, truth=(truth,)))), tmp_path)
    assert read_manifest(written).variants[0].accuracy.truth == (truth,)


def test_a_bundle_from_before_ground_truth(bundle: Path) -> None:
    edit(bundle, lambda manifest: manifest["variants"][0]["accuracy"].pop("truth"))
    assert read_manifest(bundle).variants[0].accuracy.truth == ()


def encoder_file(manifest: dict[str, Any]) -> dict[str, Any]:
    return manifest["variants"][0]["graphs"]["image_encoder"]["files"][0]


def test_a_changed_byte(bundle: Path) -> None:
    path = bundle / "image_encoder.onnx"
    path.write_bytes(b"X" + path.read_bytes()[1:])
    with pytest.raises(BundleError, match=r"image_encoder\.onnx was changed"):
        read_manifest(bundle)


def test_a_truncated_file(bundle: Path) -> None:
    path = bundle / "image_encoder.onnx"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BundleError, match="bytes"):
        read_manifest(bundle)


@pytest.mark.parametrize("name", ["image_encoder.onnx", "report.html", "selftest/mask_0.png"])
def test_a_missing_file(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        read_manifest(bundle)


@pytest.mark.parametrize(
    "path",
    [
        *("../secret", "/etc/passwd", "a/../../secret", "C:\\secret", "..\\secret", "", "image_encoder.onnx\0"),
        *("n" * 5000, "é" * 200, "a/" * 600 + "b"),
    ],
)
def test_a_path_that_leaves_the_folder(bundle: Path, path: str) -> None:
    edit(bundle, lambda manifest: encoder_file(manifest).update(path=path))
    with pytest.raises(BundleError, match="leaves the bundle"):
        read_manifest(bundle)


def test_an_open_path_that_leaves_the_folder(bundle: Path) -> None:
    edit(bundle, lambda m: m["variants"][0]["graphs"]["image_encoder"].update(open_path="../other"))
    with pytest.raises(BundleError, match="leaves the bundle"):
        read_manifest(bundle)


def test_an_open_path_that_is_not_listed(bundle: Path) -> None:
    edit(bundle, lambda m: m["variants"][0]["graphs"]["image_encoder"].update(open_path="other.onnx"))
    with pytest.raises(BundleError, match="does not list"):
        read_manifest(bundle)


def test_a_file_that_is_not_listed(bundle: Path) -> None:
    (bundle / "image_encoder.onnx.data").write_bytes(b"weights of a stranger")
    with pytest.raises(BundleError, match=r"image_encoder\.onnx\.data is not listed"):
        read_manifest(bundle)


def test_a_symlink_that_leaves_the_folder(bundle: Path) -> None:
    outside = bundle.parent / "outside.onnx"
    shutil.move(bundle / "image_encoder.onnx", outside)
    (bundle / "image_encoder.onnx").symlink_to(outside)
    with pytest.raises(BundleError, match="leaves the bundle"):
        read_manifest(bundle)


@pytest.mark.parametrize("schema", [0, 2, None, "1", True])
def test_another_schema(bundle: Path, schema: object) -> None:
    edit(bundle, lambda manifest: manifest.update(schema=schema))
    with pytest.raises(BundleError, match="schema"):
        read_manifest(bundle)


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("preprocessing", "image_hw", [60000, 60000]),
        ("preprocessing", "prompt_frame_hw", [0, 64]),
        ("preprocessing", "padding", "mean"),
        ("mask_rule", "mask_hw", [-1, 64]),
        ("mask_rule", "single_mask_token", -5),
        ("mask_rule", "multimask_tokens", [2**40]),
        ("mask_rule", "multimask_tokens", [0] * 65),
        ("mask_rule", "point_slots", 10**9),
        ("mask_rule", "low_res_limit", -1.0),
        ("mask_rule", "stability_fallback", {"delta": 0.05, "threshold": 0.98}),
    ],
)
def test_numbers_that_no_model_has(bundle: Path, part: str, name: str, value: object) -> None:
    """The first would ask for 43 GB as soon as a picture is set."""

    def change(document: dict[str, Any]) -> None:
        document["mask_rule"]["multimask_tokens"] = []
        document["preprocessing"]["normalisation"]["mean"] = None
        document[part][name] = value

    edit(bundle, change)
    with pytest.raises(BundleError, match=rf"bundle.json has .*{name.split('_', maxsplit=1)[0]}"):
        read_manifest(bundle)


@pytest.mark.parametrize("name", [".hidden.bin", "folder", "sub/link"])
def test_a_link_out_that_is_not_listed(bundle: Path, name: str) -> None:
    """An engine that looks beside its graph would follow it."""
    (bundle / name).parent.mkdir(exist_ok=True)
    (bundle / name).symlink_to("/etc" if name == "folder" else "/etc/hostname")
    with pytest.raises(BundleError, match=f"'{name}' is a link that leaves the bundle"):
        read_manifest(bundle)


def test_links_in_a_circle(bundle: Path) -> None:
    (bundle / "image_encoder.onnx").unlink()
    (bundle / "image_encoder.onnx").symlink_to(bundle / "again")
    (bundle / "again").symlink_to(bundle / "image_encoder.onnx")
    with pytest.raises(BundleError, match="leaves the bundle"):
        read_manifest(bundle)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b'{"schema": 1}', b"\xff\xfe", b"[" * 100_000], ids=repr)
def test_not_a_manifest(bundle: Path, text: bytes) -> None:
    (bundle / "bundle.json").write_bytes(text)
    with pytest.raises(BundleError):
        read_manifest(bundle)


def test_not_a_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="not a bundle"):
        read_manifest(tmp_path)
