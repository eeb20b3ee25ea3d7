"""What is told to be typed exists: options, files, targets of make; and README's Python runs."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from sam_export.benchmarks.peer_graphs import PLAIN
from sam_export.benchmarks.peer_making import PEERS
from sam_export.cli import HELP, parse
from sam_export.cli.bench_command import PEERS_EXPLAINED
from sam_export.errors import RequestError
from sam_export.search_record import decode_records

from .documents import PAGES, ROOT, blocks, command_lines, inline_commands

LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
# Words that stand for a model in a sentence.
MODELS = {"MODEL": "lite_medsam", "NAME": "lite_medsam"}
# A sentence may name a command without what the command needs.
INCOMPLETE = "the following arguments are required"


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def check_command(words: tuple[str, ...]) -> None:
    """Raise if the line cannot work: an option that does not exist, a file or a target of make that is not there."""
    program, rest = words[0], words[1:]
    if program == "sam-export":
        parse(rest)
    elif program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
        assert set(rest) <= set(targets), f"make {' '.join(rest)}"
    elif program.startswith("python") and rest[0] == "-m":
        assert find_spec(rest[1]) is not None, f"python -m {rest[1]}"
    elif program in ("bash", "python", "python3") and not rest[0].startswith("-"):
        assert (ROOT / rest[0]).is_file(), rest[0]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_line_can_be_typed(page: Path) -> None:
    for words in command_lines(page.read_text()):
        check_command(words)


def test_the_examples_of_the_help_can_be_typed() -> None:
    examples = [line for line in HELP.splitlines() if line.startswith("  sam-export")]
    assert examples
    for line in examples:
        check_command(tuple(line.split()))


def test_the_help_names_every_peer() -> None:
    assert PEERS_EXPLAINED.rpartition(": ")[2].split(", ") == [name for name in PEERS if name != PLAIN]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_in_a_sentence_has_the_options_it_is_said_to_have(page: Path) -> None:
    for words in inline_commands(page.read_text(), "sam-export"):
        rest = [MODELS.get(word, word) for word in words[1:]]
        if rest[0] in ("COMMAND", "--help", "--version"):
            continue
        try:
            parse(rest)
        except RequestError as exc:
            if INCOMPLETE not in str(exc):
                raise


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("sam-export lite_medsam --targets onnx", RequestError),
        ("sam-export lite_medsm --target onnx", RequestError),
        ("sam-export segment dist/b picture.jpg --threads two -o out/", RequestError),
        ("make nothing", AssertionError),
        ("python -m sam_export.nothing", AssertionError),
        ("bash examples/nothing.sh", AssertionError),
    ],
)
def test_a_line_that_cannot_work_is_found(line: str, error: type[Exception]) -> None:
    (words,) = command_lines(f"```sh\n{line}  # why\n```\n")
    with pytest.raises(error):
        check_command(words)


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent.name != "docs"], ids=named)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    missing = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page.read_text(), "python")], ids=named)
def test_python_in_a_page_runs(
    page: Path, home: Path, example_picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder with the bundles that the pages speak of, and `image`, a picture."""
    monkeypatch.chdir(home)
    for block in blocks(page.read_text(), "python"):
        exec(compile(block, named(page), "exec"), {"image": example_picture})


def test_the_rows_of_the_ablation_are_those_of_the_record() -> None:
    text = (ROOT / "docs/precision.md").read_text()
    path = ROOT / "quantize/found/lite_medsam-onnx-int8-search.json"
    rows = [row for record in decode_records(path.read_bytes(), path.name) for row in record.ablation]
    assert rows
    for row in rows:
        cells = (row.label, f"{row.stable_mean:.3f}", f"{row.stable_worst:.3f}", f"{row.latency_ratio:.2f}x")
        assert f"| {' | '.join(cells)} |" in text
