"""Protobuf's wire format, field by field, without a schema and without copies.

Source: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
LONGEST_VARINT = 10
# Half a second's; SAM ViT-H's graph has 10,000.
MAX_FIELDS = 2**20
FIXED_BYTES = {FIXED64: 8, FIXED32: 4}

Value = int | memoryview


class UnsoundError(ValueError):
    """What is wrong with a file; whoever names the file turns it into an error of the project's own."""


def fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """Yield the number and value of each field: numbers for varints, the bytes of all others.

    Raises:
        UnsoundError: the bytes are no message.
    """
    at, end, count = 0, len(message), 0
    while at < end:
        count += 1
        if count > MAX_FIELDS:
            raise UnsoundError(f"more than {MAX_FIELDS} fields in one message")
        key, at = _varint(message, at)
        kind = key & 7
        if kind == VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        size, at = _varint(message, at) if kind == BYTES else (_fixed_bytes(kind), at)
        if size > end - at:
            raise UnsoundError(f"cut short: {size} bytes announced, {end - at} there")
        yield key >> 3, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Return the number that begins at a place, and the place behind it."""
    value = 0
    for place in range(LONGEST_VARINT):
        if at + place >= len(message):
            raise UnsoundError("cut short within a number")
        byte = message[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at + place + 1
    raise UnsoundError("a number of more than 64 bits")


def _fixed_bytes(kind: int) -> int:
    if kind not in FIXED_BYTES:
        raise UnsoundError(f"not a protobuf file (wire type {kind})")
    return FIXED_BYTES[kind]


def signed(value: Value) -> int:
    """Return a varint as the int64 that it stands for."""
    if not isinstance(value, int):
        raise UnsoundError("bytes where a number belongs")
    return value - 2**64 if value >= 2**63 else value


def part(value: Value) -> memoryview:
    """Return the bytes of a field."""
    if isinstance(value, int):
        raise UnsoundError("a number where bytes belong")
    return value


def text(value: Value) -> str:
    """Return the text of a field."""
    try:
        return bytes(part(value)).decode()
    except UnicodeDecodeError as exc:
        raise UnsoundError("a name that is no text") from exc


def numbers(value: Value) -> Iterator[int]:
    """Yield the numbers of a repeated field: one, or as many as are packed into its bytes."""
    if isinstance(value, int):
        yield signed(value)
        return
    at = 0
    while at < len(value):
        number, at = _varint(value, at)
        yield signed(number)
