"""One tensor of an ONNX graph: as many bytes as its shape needs, here or in a file beside the graph."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from .wire import UnsoundError, Value, fields, numbers, part, signed, text

# TensorProto.DataType: bits of an element.
BITS = {1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 16: 16, 21: 4, 22: 4}
DIMS, DATA_TYPE, RAW, EXTERNAL, LOCATION = 1, 2, 9, 13, 14
FLOATS, INT32S, STRINGS, INT64S, DOUBLES, UINT64S = 4, 5, 6, 7, 10, 11
# Which field holds the elements of a type, if they are not raw.
TYPED = {FLOATS: (1,), INT32S: (2, 3, 4, 5, 6, 9, 10, 16, 21, 22), INT64S: (7,), DOUBLES: (11,), UINT64S: (12, 13)}
FIXED_BYTES = {FLOATS: 4, DOUBLES: 8}
SINGULAR = (DATA_TYPE, RAW, LOCATION)
MAX_RANK = 16
IS_EXTERNAL = 1


def require_sound_tensor(tensor: memoryview, folder: Path) -> None:
    """Raise UnsoundError unless the tensor's data, here or in a file of `folder`, are what its shape and type need."""
    found = tuple(fields(tensor))
    counts = Counter(number for number, _ in found)
    if counts[STRINGS] or any(counts[number] > 1 for number in SINGULAR):
        raise UnsoundError("a tensor of texts, or one in several parts")
    one = dict(found)
    elements = _elements([value for number, value in found if number == DIMS])
    data_type = signed(one.get(DATA_TYPE, 0))
    if data_type not in BITS:
        raise UnsoundError(f"a tensor of type {data_type}, allowed: numbers")
    needed = -(-elements * BITS[data_type] // 8)
    if signed(one.get(LOCATION, 0)) == IS_EXTERNAL:
        _check_external([part(value) for number, value in found if number == EXTERNAL], needed, folder)
    elif counts[EXTERNAL]:
        raise UnsoundError("a tensor with a file of its own that does not say that it lies there")
    else:
        _check_here(found, one, data_type, elements, needed)


def _elements(dims: list[Value]) -> int:
    sizes = []
    for value in dims:
        for size in numbers(value):
            sizes.append(size)
            if len(sizes) > MAX_RANK or size < 0:
                raise UnsoundError(f"a tensor of {size} in dimension {len(sizes)}, allowed: 0 or more, rank {MAX_RANK}")
    return math.prod(sizes)


def _check_here(
    found: tuple[tuple[int, Value], ...], one: Mapping[int, Value], data_type: int, elements: int, needed: int
) -> None:
    stored = {number for number, _ in found if number in TYPED}
    if RAW in one:
        given = len(part(one[RAW]))
        if given != needed or stored:
            raise UnsoundError(f"a tensor of {given} bytes whose shape needs {needed}")
        return
    if not all(data_type in TYPED[number] for number in stored):
        raise UnsoundError(f"a tensor of type {data_type} whose elements are stored as another")
    given = sum(_count(number, value) for number, value in found if number in TYPED)
    wanted = -(-elements * BITS[data_type] // 8) if BITS[data_type] < 8 else elements
    if given != wanted:
        raise UnsoundError(f"a tensor of {given} elements whose shape needs {wanted}")


def _count(number: int, value: Value) -> int:
    """Return how many elements a typed field holds: one, or those that are packed into its bytes."""
    if isinstance(value, int):
        return 1
    if number in FIXED_BYTES:
        return len(value) // FIXED_BYTES[number]
    return int(np.count_nonzero(np.frombuffer(value, np.uint8) < 0x80))


def _check_external(entries: list[memoryview], needed: int, folder: Path) -> None:
    facts: dict[str, str] = {}
    for entry in entries:
        pair = {number: text(value) for number, value in fields(entry)}
        if pair.get(1, "") in facts:
            raise UnsoundError("a tensor whose file is named twice")
        facts[pair.get(1, "")] = pair.get(2, "")
    size = _size_beside(folder, facts.get("location", ""))
    offset, length = (_whole(facts.get(name, default)) for name, default in (("offset", "0"), ("length", str(needed))))
    if length != needed or offset + needed > size:
        raise UnsoundError(f"a tensor of {needed} bytes at {offset} with {length} given, in a file of {size}")


def _size_beside(folder: Path, name: str) -> int:
    """Return the size of a file of that plain name in the folder; bundles have no other file that is not hashed."""
    plain = name == Path(name).name and not name.startswith(".") and not set(name) & set('\\/:*"\0')
    path = folder / name
    if not plain or path.is_symlink() or not path.is_file():
        raise UnsoundError(f"weights in {name[:200]!r}, allowed: a file beside the graph")
    return path.stat().st_size


def _whole(given: str) -> int:
    if not given.isascii() or not given.isdigit() or len(given) > 19:
        raise UnsoundError(f"weights at {given[:40]!r}, allowed: a whole number")
    return int(given)
