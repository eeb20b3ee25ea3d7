"""Files that are damaged on purpose: bytes anywhere, and, in JSON, values where others are expected."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

SPLICES = (b"\x00" * 16, b"\xff" * 16, b"../../../../etc/passwd", b"PK\x03\x04", b"\x80\x04\x95", b"NaN", b"1e999")
PATHS = (
    "",
    ".",
    "..",
    "../outside",
    "/etc/passwd",
    "a/../../b",
    "C:\\windows\\win.ini",
    "\\\\server\\share",
    "file:///etc/passwd",
    "nul\x00byte",
    "\u202egnp.exe",
    "\ud800",
    "n" * 5000,
    "é" * 300,
    "CON",
    "~/x",
    "$HOME",
)
NUMBERS = (0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 10**400, 1e308, -0.0, 1e-320, True)
OTHERS: tuple[Any, ...] = (None, [], {}, [[]], [None] * 50, {"": {}}, "NaN", [[[[[[[[]]]]]]]])
HOSTILE = st.sampled_from((*PATHS, *NUMBERS, *OTHERS))


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """The bytes with a few of them changed, cut out, repeated, or something else put in between."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        if not data:
            break
        at = draw(st.integers(0, len(data) - 1))
        match draw(st.integers(0, 4)):
            case 0:
                data[at] = draw(st.integers(0, 255))
            case 1:
                del data[at : at + draw(st.integers(1, 64))]
            case 2:
                data[at:at] = draw(st.sampled_from(SPLICES))
            case 3:
                data[at:at] = data[at : at + draw(st.integers(1, 64))]
            case _:
                del data[at:]
    return bytes(data)


@st.composite
def misleading(draw: st.DrawFn, content: bytes) -> bytes:
    """JSON with one to three of its values, or names, replaced by ones that nobody expects there."""
    document = json.loads(content)
    for _ in range(draw(st.integers(1, 3))):
        document = _replaced(draw, document)
    return json.dumps(document, allow_nan=True).encode("utf-8", "surrogatepass")


def _replaced(draw: st.DrawFn, value: Any) -> Any:
    if isinstance(value, dict) and value and draw(st.integers(0, 9)):
        name = draw(st.sampled_from(sorted(value)))
        rest = {key: other for key, other in value.items() if key != name}
        what = draw(st.integers(0, 11))
        if what == 0:
            return rest
        if what == 1:
            return {**rest, draw(st.sampled_from(PATHS)): value[name]}
        return {**value, name: _replaced(draw, value[name])}
    if isinstance(value, list) and value and draw(st.integers(0, 9)):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], _replaced(draw, value[at]), *value[at + 1 :]]
    return draw(HOSTILE)


def hostile(content: bytes, *, is_json: bool = False) -> st.SearchStrategy[bytes]:
    return st.one_of(misleading(content), damaged(content)) if is_json else damaged(content)
