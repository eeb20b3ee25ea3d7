"""A folder is there whole or as it was, also when the process is stopped on the way."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sam_export import staging
from sam_export.errors import OutputError
from sam_export.staging import remove_leftovers, settle, staged_file, staged_folder


def write(final: Path, text: str, *, overwrite: bool = True) -> None:
    with staged_folder(final, overwrite=overwrite) as folder:
        (folder / "file").write_text(text)


@pytest.fixture
def no_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that cannot swap two folders in one step."""
    monkeypatch.setattr(staging, "_exchanged", lambda *_: False)


@pytest.mark.parametrize("renames", [0, 1, 2], ids=["before the first rename", "between them", "after the second"])
@pytest.mark.usefixtures("no_exchange")
def test_a_replacement_that_is_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int) -> None:
    final = tmp_path / "bundle"
    write(final, "old")
    rename, done = Path.rename, 0

    def interrupted(self: Path, target: Path) -> Path:
        nonlocal done
        if target == final and self.name != "folder" and final.exists():
            return rename(self, target)  # is refused: there is an older one
        done += 1
        if done == renames + 1:
            raise KeyboardInterrupt
        moved = rename(self, target)
        if done == renames == 2:
            raise KeyboardInterrupt
        return moved

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(final, "new")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    assert (final / "file").read_text() == ("new" if renames == 2 else "old")


@pytest.mark.parametrize("exchange", [True, False], ids=["in one step", "in two"])
def test_a_folder_is_replaced_if_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool) -> None:
    if not exchange:
        monkeypatch.setattr(staging, "_exchanged", lambda *_: False)
    final = tmp_path / "bundle"
    write(final, "old")
    write(final, "new")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    assert (final / "file").read_text() == "new"


@pytest.mark.skipif(sys.platform != "linux", reason="a call of Linux")
def test_the_older_one_is_never_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a moment at which a kill would leave none."""
    final = tmp_path / "bundle"
    write(final, "old")
    monkeypatch.setattr(Path, "rename", None)
    write(final, "new")
    assert (final / "file").read_text() == "new"


def test_a_folder_that_came_in_between_is_kept(tmp_path: Path) -> None:
    final = tmp_path / "bundle"

    def write_late() -> None:
        with staged_folder(final, overwrite=False):
            write(final, "first", overwrite=False)

    with pytest.raises(OutputError, match="another process has written it meanwhile; give --overwrite"):
        write_late()
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    assert (final / "file").read_text() == "first"


def test_an_empty_folder_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    write(tmp_path / "bundle", "new", overwrite=False)
    assert (tmp_path / "bundle" / "file").read_text() == "new"


def test_what_a_link_leads_to_is_replaced(tmp_path: Path) -> None:
    write(tmp_path / "real", "old")
    (tmp_path / "bundle").symlink_to("real")
    write(tmp_path / "bundle", "new")
    assert (tmp_path / "real" / "file").read_text() == "new"
    assert (tmp_path / "bundle").is_symlink()


def test_what_a_killed_process_left_goes_with_the_next(tmp_path: Path) -> None:
    final = tmp_path / "[bundle]"
    for name in (".[bundle].abcdefgh.partial", ".[bundle].abcdefgh.old", ".other.abcdefgh.partial"):
        (tmp_path / name / "folder").mkdir(parents=True)
    write(final, "old")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other.abcdefgh.partial", "[bundle]"]


@pytest.mark.parametrize("replaced", [False, True], ids=["between two renames", "after them"])
def test_an_older_folder_that_a_killed_process_moved_aside_comes_back(tmp_path: Path, replaced: bool) -> None:
    final = tmp_path / "bundle"
    write(tmp_path / ".bundle.abcdefgh.old" / "folder", "old")
    if replaced:
        write(tmp_path / "elsewhere", "new")
        (tmp_path / "elsewhere").rename(final)
    settle(final)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    assert (final / "file").read_text() == ("new" if replaced else "old")


def test_what_another_process_is_writing_stays(tmp_path: Path) -> None:
    final = tmp_path / "bundle"
    with staged_folder(final, overwrite=True) as slow:
        write(final, "fast")
        assert slow.exists()
        (slow / "file").write_text("slow")
    assert (final / "file").read_text() == "slow"


def test_files_that_a_killed_process_left_are_removed_by_their_ending(tmp_path: Path) -> None:
    names = [".a.semb.abcdefgh.partial", ".a.png.abcdefgh.partial", "a.semb"]
    for name in names:
        (tmp_path / name).touch()
    with staged_file(tmp_path / "b.semb"):
        remove_leftovers(tmp_path, ".semb")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.png.abcdefgh.partial", "a.semb", "b.semb"]


def test_an_interrupted_body_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), staged_folder(tmp_path / "bundle", overwrite=True):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_an_interrupted_file_leaves_the_older_one(tmp_path: Path) -> None:
    final = tmp_path / "file"

    def write_file(text: str, *, interrupted: bool) -> None:
        with staged_file(final) as partial:
            partial.write_text(text)
            if interrupted:
                raise KeyboardInterrupt

    write_file("old", interrupted=False)
    with pytest.raises(KeyboardInterrupt):
        write_file("half of the new", interrupted=True)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert final.read_text() == "old"
