from __future__ import annotations

import argparse
import dataclasses
import hashlib
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from sam_export.cli.models_command import add_parser, list_models, pull_model
from sam_export.errors import RequestError
from sam_export.models.catalog import DEFAULT_VARIANT, VARIANTS
from sam_export.models.catalog.tiny_vit_sam import LITE_MEDSAM
from sam_export.models.sources import FileSource
from sam_export.models.transfer import Progress
from sam_export.models.variants import Variant


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=100)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture
def row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Variant:
    """A model whose weights lie in a file, known under its name, and an empty cache."""
    monkeypatch.setenv("SAM_EXPORT_CACHE", str(tmp_path / "cache [bold]"))
    weights = tmp_path / "own.pth"
    weights.write_bytes(b"weights" * 1000)
    row = dataclasses.replace(
        LITE_MEDSAM,
        name="own_sam",
        source=FileSource(weights),
        checkpoint_sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
        checkpoint_bytes=7000,
    )
    assert isinstance(VARIANTS, dict)
    monkeypatch.setitem(VARIANTS, "own_sam", row)
    return row


def test_every_model_is_listed_with_what_one_chooses_by(row: Variant, console: Console) -> None:
    assert list_models(console) == 0
    text = printed(console)
    for variant in VARIANTS.values():
        for word in (variant.name, variant.family, variant.license, variant.description, variant.source.address):
            assert word in text
    assert "39.4 MB" in text
    assert "about 39 MB" in text  # no size is pinned for mobile_sam


def test_json_says_what_is_cached(row: Variant, console: Console, tmp_path: Path) -> None:
    list_models(console, as_json=True)
    before = {entry["name"]: entry for entry in json.loads(printed(console))}
    assert before["own_sam"]["cached"] is None
    assert before["own_sam"]["prompts"] == ["box"]
    assert [name for name, entry in before.items() if entry["default"]] == [DEFAULT_VARIANT]
    pulled = Console(file=io.StringIO(), width=20)
    assert pull_model("own_sam", pulled, as_json=True) == 0
    path = Path(json.loads(printed(pulled))["cached"])
    assert path.is_relative_to(tmp_path / "cache [bold]")
    assert path.read_bytes() == b"weights" * 1000


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipe"])
def test_pull_says_where_the_file_lies(row: Variant, terminal: bool) -> None:
    console = Console(file=io.StringIO(), width=60, force_terminal=terminal, color_system=None)
    assert pull_model("own_sam", console) == 0
    assert "cache [bold]/checkpoints/own_sam/own-" in printed(console)
    assert "(0.0 MB, verified)" in printed(console)


def test_an_unknown_model_lists_those_that_exist(row: Variant, console: Console) -> None:
    with pytest.raises(RequestError, match=r"sam_of_nobody.*lite_medsam"):
        pull_model("sam_of_nobody", console)


@dataclasses.dataclass(frozen=True)
class InterruptedSource(FileSource):
    """Ctrl-C while its bytes come."""

    def fetch(self, partial: Path, size_bytes: int | None = None, progress: Progress | None = None) -> None:
        partial.write_bytes(b"some")
        raise KeyboardInterrupt


def test_ctrl_c_says_how_to_go_on(row: Variant, console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(VARIANTS, dict)
    monkeypatch.setitem(VARIANTS, "own_sam", dataclasses.replace(row, source=InterruptedSource(Path("x.pth"))))
    assert pull_model("own_sam", console) == 130
    assert "`sam-export pull own_sam` goes on from there" in " ".join(printed(console).split())


def test_the_parsers_lead_to_the_commands(row: Variant, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    for words in (["models", "--json"], ["pull", "own_sam", "--json"]):
        args = parser.parse_args(words)
        assert args.run(args) == 0
        assert "own_sam" in json.dumps(json.loads(capsys.readouterr().out))


def test_a_licence_with_terms_is_accepted_first(
    row: Variant, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(VARIANTS, "own_sam", dataclasses.replace(row, license_terms="no commercial use"))
    with pytest.raises(RequestError, match="no commercial use; read it and give --accept-license"):
        pull_model("own_sam", console)
    list_models(console)
    assert "needs --accept-license: no commercial use" in printed(console)
    assert pull_model("own_sam", console, license_accepted=True) == 0
