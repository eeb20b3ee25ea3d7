"""What a killed process leaves is told from what a running one uses, and goes with the next run."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sam_export.held import DRAWN, PROCESS_PREFIX, held, process_folder, remove_abandoned

PATTERN = f"own-{DRAWN}"
# Makes a folder or a file, says its name, and waits to be killed.
OWNER = """
import sys, tempfile, time
from pathlib import Path
from sam_export.held import held
def folder(): return Path(tempfile.mkdtemp(prefix="own-", dir=sys.argv[1]))
def file(): return Path(tempfile.mkstemp(prefix="own-", dir=sys.argv[1])[1])
with held({"folder": folder, "file": file}[sys.argv[2]]) as path:
    print(path, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_is_held_stays_until_its_owner_is_killed(tmp_path: Path, kind: str) -> None:
    words = [sys.executable, "-c", OWNER, str(tmp_path), kind]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        path = Path(owner.stdout.readline().strip())
        remove_abandoned(tmp_path, PATTERN)
        assert path.exists()
        owner.kill()
    remove_abandoned(tmp_path, PATTERN)
    assert not list(tmp_path.iterdir())


def test_only_names_that_were_drawn_are_looked_at(tmp_path: Path) -> None:
    names = ["own-", "own-abc", "own-abcdefghi", "other-abcdefgh"]
    for name in names:
        (tmp_path / name).mkdir()
    remove_abandoned(tmp_path, PATTERN)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


def test_links_and_pipes_are_nobodys_temporary_files(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "own-abcdefgh").symlink_to(tmp_path / "mine")
    os.mkfifo(tmp_path / "own-bcdefghi")
    remove_abandoned(tmp_path, PATTERN)
    assert (tmp_path / "mine").exists()
    assert (tmp_path / "own-abcdefgh").is_symlink()


def test_what_is_taken_away_before_it_is_held_is_made_again(tmp_path: Path) -> None:
    made: list[Path] = []

    def make() -> Path:
        made.append(tmp_path / f"own-{len(made)}")
        if len(made) > 1:
            made[-1].mkdir()
        return made[-1]

    with held(make) as path:
        assert path == made[1]


def test_temporary_files_of_a_process_lie_in_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = tmp_path / f"{PROCESS_PREFIX}abcdefgh"
    left.mkdir()
    with process_folder():
        inner = Path(tempfile.mkdtemp())
        assert inner.parent.name.startswith(PROCESS_PREFIX)
        assert inner.parent.parent == tmp_path
        assert not left.exists()
    assert tempfile.tempdir == str(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with process_folder():
        assert tempfile.tempdir == str(tmp_path / "nowhere")
