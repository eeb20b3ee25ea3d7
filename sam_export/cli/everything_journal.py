"""What of a run over many pictures is done, so that one that was interrupted goes on where it was.

A file in the output folder, a line of JSON each: first what was asked for, then each picture once it is written.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

from ..errors import OutputError
from .picture_files import PictureFile

NAME = "segmented.jsonl"


class Asked(msgspec.Struct, frozen=True):
    """What results depend on: going on with anything else would mix them."""

    bundle: str
    formats: tuple[str, ...]
    style: str
    generator: str


class Done(msgspec.Struct, frozen=True):
    """A picture that is written. `size` and `modified_ns` are its file's, which tell whether it is still the same."""

    path: str
    name: str
    size: int
    modified_ns: int
    objects: int
    seconds: float


def journalled(folder: Path) -> tuple[str, ...]:
    """Return the names of all pictures that the folder's journal has; none where there is no journal."""
    path = folder / NAME
    lines = path.read_bytes().splitlines()[1:] if path.exists() else []
    names = []
    for line in lines:
        with suppress(msgspec.DecodeError):  # a damaged line names nothing that could be removed
            names.append(msgspec.json.decode(line, type=Done).name)
    return tuple(dict.fromkeys(names))


def done_picture(picture: PictureFile, objects: int, seconds: float) -> Done:
    state = picture.path.stat()
    return Done(str(picture.path), picture.name, state.st_size, state.st_mtime_ns, objects, seconds)


class Journal:
    """The journal of a folder.

    Raises:
        OutputError: the folder holds something, and not from a run that asked for the same.
    """

    def __init__(self, folder: Path, asked: Asked) -> None:
        self._path = folder / NAME
        self._done: dict[str, Done] = {}
        if self._path.exists():
            self._read(asked)
        elif folder.exists() and any(folder.iterdir()):
            raise OutputError(f"{folder}: holds files that segment --everything did not write; give another -o")
        else:
            folder.mkdir(parents=True, exist_ok=True)
            self._path.write_bytes(msgspec.json.encode(asked) + b"\n")

    def earlier(self, picture: PictureFile) -> Done | None:
        """Return what was written of a picture, if it is the same file still."""
        done = self._done.get(picture.name)
        if done is None or not picture.path.exists():
            return None
        now = done_picture(picture, done.objects, done.seconds)
        return done if now == done else None

    def add(self, done: Done) -> None:
        with self._path.open("ab") as stream:
            stream.write(msgspec.json.encode(done) + b"\n")
        self._done[done.name] = done

    def _read(self, asked: Asked) -> None:
        content = self._path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]  # an interrupted write leaves a part of a line
        first, *lines = whole.splitlines() or [b""]
        try:
            before = msgspec.json.decode(first, type=Asked)
            records = [msgspec.json.decode(line, type=Done) for line in lines]
        except msgspec.DecodeError as exc:
            raise OutputError(f"{self._path}: damaged ({exc}); give --overwrite, or another -o") from exc
        if before != asked:
            differ = [name for name in Asked.__struct_fields__ if getattr(before, name) != getattr(asked, name)]
            raise OutputError(
                f"{self._path.parent}: was segmented with another {' and '.join(differ)}; "
                "give --overwrite to begin again, or another -o"
            )
        if whole != content:
            self._path.write_bytes(whole)
        self._done = {record.name: record for record in records}
