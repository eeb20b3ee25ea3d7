"""The frame of the command line: help, versions, and errors that are one line with the right exit status."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from sam_export.cli import COMMANDS, HELP, main
from sam_export.exporters import TARGETS

Capture = pytest.CaptureFixture[str]


def one_line(capture: Capture) -> str:
    """What went to stderr, which must be a single line of ours."""
    text = capture.readouterr().err
    assert text.startswith("sam-export: ")
    assert text.count("\n") == 1
    return text


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"]], ids=["nothing", "-h", "--help"])
def test_help_names_every_command_and_target(words: list[str], capsys: Capture) -> None:
    assert main(words) == 0
    assert capsys.readouterr().out == HELP
    assert all(f"  {command} " in HELP for command in COMMANDS)
    assert "{" + ",".join(TARGETS) + "}" in HELP


@pytest.mark.parametrize("word", ["--version", "-V", "version"])
def test_version(word: str, capsys: Capture) -> None:
    assert main([word]) == 0
    assert capsys.readouterr().out == f"sam-export {version('sam-export')}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert "usage: sam-export" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["lite_medsam"], "--target"),
        (["lite_medsam", "--target", "onnx", "--colour"], "--colour"),
        (["sam_vit_z", "--target", "onnx"], "did you mean the model sam_vit_l?"),
        (["lite_medsam", "--target", "tflite"], "choose one of onnx, openvino, coreml"),
        (["lite_medsam", "--target", "onnx", "--precision", "int3"], "choose one of fp32, fp16"),
        (["lite_medsam", "--target", "onnx", "--min-iou", "2"], "at most 1"),
        (["lite_medsam", "--target", "onnx", "--min-iou", "high"], "--min-iou"),
        (["lite_medsam", "--target", "onnx", "--checkpoint", "no/such.pth"], "no/such.pth"),
        (["lite_medsam", "--target", "onnx", "--evaluation", "no/such/folder"], "no/such/folder"),
        (["lite_medsam", "--target", "coreml", "--minimum-ios", "12"], "16, 17, 18"),
        (["pull", "sam_vit_z"], "choose one of"),
        (["inspect", "no/such/bundle"], "no/such/bundle"),
        (["verify", "no/such/bundle"], "no/such/bundle"),
        (["segment", "no/such/bundle", "picture.png", "--box", "0,0,9,9"], "picture.png"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_bad_request_is_one_line_and_status_2(words: list[str], says: str, tmp_path: Path, capsys: Capture) -> None:
    out = ["-o", str(tmp_path / "out")] if words[0] in {"lite_medsam", "sam_vit_z", "segment"} else []
    assert main([*words, *out]) == 2
    assert says in one_line(capsys)
    assert not (tmp_path / "out").exists()


def test_an_existing_bundle_is_kept(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "lite_medsam-onnx-fp32").mkdir()
    assert main(["lite_medsam", "--target", "onnx", "-o", str(tmp_path)]) == 2
    assert "--overwrite" in one_line(capsys)


@pytest.mark.parametrize(
    ("target", "package"), [(target, package) for target in TARGETS for package in TARGETS[target].requires]
)
def test_a_converter_or_engine_that_is_not_installed(
    target: str, package: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # None in sys.modules is how Python itself marks a module that must not be found.
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["lite_medsam", "--target", target, "-o", str(tmp_path / "out")]) == 2
    said = one_line(capsys)
    assert f"exporting to {target} needs the package {package}, which is not installed" in said
    assert f"pip install 'sam-export[{TARGETS[target].extra}]'" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "words", [["models"], ["lite_medsam", "--target", "onnx"], ["pull", "lite_medsam"]], ids=" ".join
)
def test_without_torch_there_is_a_way_out(words: list[str]) -> None:
    code = f"import sys; sys.modules['torch'] = None; from sam_export.cli import main; sys.exit(main({words!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "needs the package torch" in done.stderr
    assert "pip install" in done.stderr
