"""What a person reads who mistyped: one line, what is wrong, what comes closest, and exit status 2."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sam_export.cli import COMMANDS, main
from sam_export.models import VARIANTS

Capture = pytest.CaptureFixture[str]


def answer(words: list[str], capture: Capture) -> str:
    """What goes to stderr, which must be one line of ours, and nothing else may happen."""
    assert main(words) == 2
    printed = capture.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("sam-export: ")
    assert printed.err.count("\n") == 1
    return printed.err


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("segmnt", "the command segment"),
        ("SEGMENT", "the command segment"),
        ("modls", "the command models"),
        ("verfy", "the command verify"),
        ("lite_medsm", "the model lite_medsam"),
        ("Mobile-SAM", "the model mobile_sam"),
    ],
)
@pytest.mark.parametrize("rest", [[], ["bundle", "picture.png", "--box", "1,1,9,9", "-o", "out"]], ids=["", "rest"])
def test_a_mistyped_first_word(word: str, meant: str, rest: list[str], capsys: Capture) -> None:
    said = answer([word, *rest], capsys)
    assert f"{word!r} is neither a command nor a model; did you mean {meant}?" in said


@pytest.mark.parametrize("word", ["", " ", "tflite", "ü猫"])
def test_a_word_like_none_lists_all(word: str, capsys: Capture) -> None:
    said = answer([word], capsys)
    assert f"commands: {', '.join(COMMANDS)}; models: {', '.join(VARIANTS)}; see `sam-export --help`" in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["--taget", "onnx"],
            "export: there is no option --taget; did you mean --target? see `sam-export export --help`",
        ),
        (["models", "--jsn"], "models: there is no option --jsn; did you mean --json? see `sam-export models --help`"),
        (
            ["segment", "b", "i.png", "-o", "x", "--bx", "1,1,9,9"],
            "segment: there is no option --bx; did you mean --box?",
        ),
        (["inspect", "b", "--zzz=1"], "inspect: there is no option --zzz; see `sam-export inspect --help`"),
        (["pull", "lite_medsam", "mobile_sam"], "pull: takes no further word, given 'mobile_sam'"),
        (
            ["segment", "b", "i.png", "-o", "x", "--box", "1", "2", "3"],
            "segment: '2 3' stands alone; join numbers with",
        ),
        (["models", "2"], "models: takes no further word, given '2'"),
        (["--target", "onnx", "lite_medsam"], "'lite_medsam' is a model, given as a target; the model comes first"),
        (["segment", "b", "i.png", "-o", "x", "--box"], "--box: needs a value; see `sam-export segment --help`"),
        (["lite_medsam", "--target"], "--target: needs at least one value"),
        (["lite_medsam", "--target", "onnx", "--overwrite=yes"], "--overwrite: takes no value, given 'yes'"),
        (["lite_medsam", "--target", "onnx", "--json", "--markdown"], "--markdown: not allowed with --json"),
        (["lite_medsam", "--target", "onnx", "--min-iou", "95%"], "--min-iou: '95%' is no number"),
        (["lite_medsam", "--target", "coreml", "--minimum-ios", "x"], "--minimum-ios: 'x' is no whole number"),
        (["segment", "b", "i.png", "-o", "x", "--threads", "2.5"], "--threads: '2.5' is no whole number"),
        (["segment", "b", "i.png", "-o", "x", "--provider", ""], "--provider: is empty"),
        (["help", "segmnt"], "did you mean the command segment?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistyped_options_and_values(words: list[str], says: str, capsys: Capture) -> None:
    assert says in answer(words, capsys)


# An empty path is a shell variable that is not set; it would mean the current folder.
@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["lite_medsam", "--target", "onnx", "-o", ""], "-o/--out"),
        (["lite_medsam", "--target", "onnx", "--checkpoint", ""], "--checkpoint"),
        (["lite_medsam", "--target", "onnx", "--evaluation="], "--evaluation"),
        (["segment", "", "i.png", "-o", "x"], "BUNDLE"),
        (["segment", "b", "", "-o", "x"], "IMAGE"),
        (["segment", "b", "i.png", "-o", ""], "-o/--out"),
        (["inspect", ""], "BUNDLE"),
        (["verify", ""], "BUNDLE"),
        (["verify", "b", "--pictures", ""], "--pictures"),
        (["verify", "b", "--checkpoint", ""], "--checkpoint"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_empty_path(words: list[str], option: str, capsys: Capture) -> None:
    assert f"{option}: is empty; give a path" in answer(words, capsys)


def test_a_name_that_is_not_utf8(capsys: Capture) -> None:
    assert "IMAGE: '\\udcff.png' is not UTF-8" in answer(["segment", "b", "\udcff.png", "-o", "x"], capsys)


def test_line_breaks_and_escapes_in_a_name_stay_on_the_line(capsys: Capture) -> None:
    said = answer(["inspect", "new\nline\x1b[31m"], capsys)
    assert "new\\nline\\x1b[31m: not a bundle" in said


def test_a_path_that_the_system_refuses(capsys: Capture) -> None:
    said = answer(["inspect", "x" * 300], capsys)
    assert "File name too long; give another path" in said


@pytest.mark.parametrize("words", [["help"], ["--help"], []], ids=" ".join)
def test_help_is_a_word_too(words: list[str], capsys: Capture) -> None:
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("usage: sam-export [MODEL]")


def test_help_of_a_command(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["help", "segment"])
    assert stopped.value.code == 0
    assert "--point X,Y[,LABEL]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("word", "says"), [("segmnt", "did you mean the command segment?"), ("lite_medsam", "needs the package torch")]
)
def test_without_torch_a_mistyped_command_is_still_told(word: str, says: str, tmp_path: Path) -> None:
    code = f"import sys; sys.modules['torch'] = None; from sam_export.cli import main; sys.exit(main([{word!r}]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert says in done.stderr
