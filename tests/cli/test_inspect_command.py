"""`sam-export inspect`: every fact of the manifest, once every hash is right."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from sam_export.cli import main
from sam_export.cli.inspect_command import inspect_bundle
from sam_export.manifest import read_manifest


def text_of(bundle: Path, width: int = 400) -> str:
    console = Console(file=io.StringIO(), width=width)
    assert inspect_bundle(bundle, console) == 0
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


FACTS = (
    "geometric",
    "Apache-2.0",
    "made by a test, sha256 " + "0" * 64,
    "onnx, fp32",
    "64x64 letterbox, pillow_bilinear, padded with the minimum; min_max inside the graph",
    "box, point, mask; 3 masks or one; low-res masks 32x32",
    "every size and sha256 is right",
    "1 prompts, IoU at least 0.97",
    "mask_decoder.onnx",
    "fp32 (stored in fp32, computed in fp32)",
    "point_coords [B, N, 2]",
    "verified by",
    "mean at least 0.995, worst at least 0.98",
    "IoU mean 0.9990, p5 0.9980, worst 0.9900 (100 prompts, 20 pictures)",
    "box 1 on coffee",
    "61.0 dB at least",
)


def test_every_fact_is_shown(bundle: Path) -> None:
    shown = text_of(bundle)
    assert [fact for fact in FACTS if fact not in shown] == []


def test_narrow_terminals_lose_nothing(bundle: Path) -> None:
    assert "0" * 64 in "".join(text_of(bundle, 60).split())  # folded, not cut


def test_ground_truth_is_shown_if_there_was_any(bundle: Path) -> None:
    assert "ground truth" not in text_of(bundle)
    manifest = json.loads((bundle / "bundle.json").read_text())
    manifest["variants"][0]["accuracy"]["truth"] = [
        {
            "kind": "truth box",
            "count": 3,
            "pictures": 1,
            "reference_miou": 0.9,
            "candidate_miou": 0.88,
            "loss_points": 2.0,
            "worst_loss_points": 3.0,
            "worst_picture": "coins.png",
            "worst_prompt": "truth box 0,0,9,9 (coins.png:1)",
        }
    ]
    (bundle / "bundle.json").write_text(json.dumps(manifest))
    shown = "truth box: mIoU 0.9000 PyTorch, 0.8800 exported, loss 2.00 points (3 objects) (reported, no limit)"
    assert shown in text_of(bundle)


def test_json_is_the_manifest(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(bundle), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((bundle / "bundle.json").read_text())


def test_several_bundles_are_compared_in_a_line_each(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = bundle.with_name("other")
    shutil.copytree(bundle, other)
    assert main(["inspect", str(bundle), str(other)]) == 0
    stable = read_manifest(bundle).variants[0].accuracy.stable
    assert stable is not None
    table = "".join(capsys.readouterr().out.split())
    assert other.name in table
    assert table.count(f"{stable.worst_iou:.4f}") >= 2


def test_json_is_for_one_bundle(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(bundle), str(bundle), "--json"]) == 2
    assert "given were 2 bundles; give one at a time" in capsys.readouterr().err


def test_markup_in_a_strangers_manifest_is_only_text(bundle: Path) -> None:
    manifest = bundle / "bundle.json"
    manifest.write_text(manifest.read_text().replace("made by a test", "[red]made[/blue] [link=x]"))
    assert read_manifest(bundle).model.source in text_of(bundle)


def test_a_changed_byte_is_an_error(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = bundle / "mask_decoder.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"!")
    for options in ((), ("--json",)):
        assert main(["inspect", str(bundle), *options]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert "mask_decoder.onnx was changed" in printed.err
        assert printed.err.count("\n") == 1


@pytest.mark.parametrize("command", ["inspect", "verify"])
@pytest.mark.parametrize("kind", ["missing file", "path that leaves"])
def test_a_bundle_that_is_not_whole_or_hostile(
    bundle: Path, kind: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if kind == "missing file":
        (bundle / "mask_decoder.onnx").unlink()
    else:
        manifest = bundle / "bundle.json"
        manifest.write_text(manifest.read_text().replace('"path": "mask_decoder.onnx"', '"path": "../decoder.onnx"'))
    assert main([command, str(bundle)]) == 2
    said = {"missing file": "mask_decoder.onnx is missing", "path that leaves": "which leaves the bundle"}[kind]
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""


def test_not_a_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tmp_path)]) == 2
    assert "not a bundle" in capsys.readouterr().err
