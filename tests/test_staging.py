"""A folder is there whole or as it was, also when the process is stopped on the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from sam_export.staging import staged_file, staged_folder


def write(final: Path, text: str) -> None:
    with staged_folder(final) as staging:
        (staging / "file").write_text(text)


@pytest.mark.parametrize("renames", [0, 1, 2], ids=["before the first rename", "between them", "after the second"])
def test_a_replacement_that_is_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int) -> None:
    final = tmp_path / "bundle"
    write(final, "old")
    rename, done = Path.rename, 0

    def interrupted(self: Path, target: Path) -> Path:
        nonlocal done
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


def test_an_interrupted_body_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), staged_folder(tmp_path / "bundle"):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_an_interrupted_file_leaves_the_older_one(tmp_path: Path) -> None:
    final = tmp_path / "file"

    def write_file(text: str, *, interrupted: bool) -> None:
        with staged_file(final) as staging:
            staging.write_text(text)
            if interrupted:
                raise KeyboardInterrupt

    write_file("old", interrupted=False)
    with pytest.raises(KeyboardInterrupt):
        write_file("half of the new", interrupted=True)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert final.read_text() == "old"
