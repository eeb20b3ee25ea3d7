"""An OpenVINO IR from a stranger, before openvino reads it: the `.xml` describes ops, the `.bin` holds the weights.

Source of the format: openvinotoolkit/openvino, `docs/articles_en/documentation/openvino-ir-format`.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from xml.parsers import expat

from ...errors import BundleError
from .openvino_ops import INPUTS
from .wire import UnsoundError

BITS = {
    **dict.fromkeys(("i4", "u4", "nf4"), 4),
    **dict.fromkeys(("i8", "u8", "boolean", "f8e4m3", "f8e5m2"), 8),
    **dict.fromkeys(("f16", "bf16", "i16", "u16"), 16),
    **dict.fromkeys(("f32", "i32", "u32"), 32),
    **dict.fromkeys(("f64", "i64", "u64"), 64),
}
# SAM ViT-H's is 4 MB.
MAX_XML_BYTES = 32 * 2**20
MAX_DEPTH = 32
MAX_RANK = 16
VERSIONS = ("10", "11")
SETS = re.compile(r"opset\d{1,2}")


def require_sound_ir(path: Path) -> None:
    """Raise unless the file is an IR of known ops whose constants have, in the `.bin` beside it, the bytes they need.

    Refused, since no exporter here writes them: document types and entities, and graphs within graphs.

    Raises:
        BundleError: it is not; the text says what was found.
    """
    try:
        _Reading(path).run()
    except (UnsoundError, expat.ExpatError, ValueError) as exc:
        raise BundleError(f"{path}: not an IR that is safe to open ({exc}); export or copy it again") from exc


class _Reading:
    """One pass through the `.xml`."""

    def __init__(self, path: Path) -> None:
        weights = path.with_suffix(".bin")
        if path.suffix != ".xml" or path.is_symlink() or weights.is_symlink():
            raise UnsoundError("a link, or a file of another kind, allowed: an .xml and the .bin beside it")
        self._path, self._weights_bytes = path, weights.stat().st_size
        self._way: list[str] = []
        self._op, self._inputs = "", 0

    def run(self) -> None:
        size = self._path.stat().st_size
        if size > MAX_XML_BYTES:
            raise UnsoundError(f"{size} bytes of description, at most {MAX_XML_BYTES} are read")
        parser = expat.ParserCreate()
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.StartDoctypeDeclHandler = parser.ProcessingInstructionHandler = _refuse_declaration
        with self._path.open("rb") as stream:
            parser.ParseFile(stream)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._way.append(name)
        if len(self._way) > MAX_DEPTH or name == "body" or (len(self._way) == 1 and not _is_net(name, attributes)):
            raise UnsoundError(f"an element {name[:80]!r} at depth {len(self._way)}, allowed: one net of plain layers")
        if name == "port":
            self._inputs += self._way[-2:-1] == ["input"]
        elif name == "layer":
            self._op, self._inputs = _op(self._way, attributes), 0
        elif name == "data" and self._op == "Const":
            self._check_constant(attributes)

    def _end(self, name: str) -> None:
        self._way.pop()
        if name == "layer":
            least, most = INPUTS[self._op]
            if not least <= self._inputs <= most:
                raise UnsoundError(f"{self._op} of {self._inputs} inputs, allowed: {least} to {most}")
            self._op = ""

    def _check_constant(self, data: dict[str, str]) -> None:
        bits = BITS.get(data.get("element_type", ""))
        if bits is None:
            raise UnsoundError(f"a constant of type {data.get('element_type', '')[:80]!r}, allowed: {', '.join(BITS)}")
        needed = -(-math.prod(_sizes(data.get("shape", ""))) * bits // 8)
        offset, size = _whole(data.get("offset", "")), _whole(data.get("size", ""))
        if size != needed or offset + size > self._weights_bytes:
            raise UnsoundError(
                f"a constant of {needed} bytes at {offset} with {size} given, in {self._weights_bytes} bytes of weights"
            )


def _is_net(name: str, attributes: dict[str, str]) -> bool:
    """Of another version, openvino would try its readers of other formats on the file."""
    return name == "net" and attributes.get("version") in VERSIONS


def _op(way: list[str], attributes: dict[str, str]) -> str:
    """Return the type of a layer, which lies in the net's own list of them."""
    op, of_set = attributes.get("type", ""), attributes.get("version", "")
    if op not in INPUTS or not SETS.fullmatch(of_set):
        raise UnsoundError(
            f"op {op[:80]!r} of {of_set[:80]!r}, which no exporter here writes; "
            "if a new model needs it, add it to runtimes/soundness/openvino_ops.py"
        )
    if way != ["net", "layers", "layer"]:
        raise UnsoundError(f"a layer in {way[-2][:80]!r}, allowed: in the layers of the net")
    return op


def _refuse_declaration(*_: object) -> None:
    raise UnsoundError("a document type or an instruction, allowed: elements alone")


def _sizes(shape: str) -> list[int]:
    sizes = [_whole(size.strip()) for size in shape.split(",") if shape.strip()]
    if len(sizes) > MAX_RANK:
        raise UnsoundError(f"a constant of rank {len(sizes)}, allowed: {MAX_RANK}")
    return sizes


def _whole(given: str) -> int:
    if not given.isascii() or not given.isdigit() or len(given) > 19:
        raise UnsoundError(f"{given[:40]!r} where a whole number belongs")
    return int(given)
