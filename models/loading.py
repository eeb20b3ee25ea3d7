"""Reading a checkpoint that a stranger may have made, and comparing its layout with a model's.

Only tensors come out. Code in a pickle is never run, and damage, nesting and prefixes are dealt with here, so that
a model sees upstream's plain key names or an error.
"""

from __future__ import annotations

import io
import pickle
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Size, Tensor

from ..errors import CheckpointError, LayoutError, MissingDependencyError
from .foreign_files import CUT_SHORT, HEAD_BYTES, PICKLE_MAGIC, ZIP_MAGIC, describe

WRAPPERS = ("model", "state_dict", "model_state_dict")
PREFIXES = ("module.", "_orig_mod.")
SHOWN = 4
CHECKPOINT_ENDINGS = (".pt", ".pth")
# What macOS puts beside every file that it zips.
RESOURCES = "__MACOSX/"
MAX_UNPACKED_BYTES = 4 * 2**30
# torch stores tensors as they are; deflated, weights become a tenth smaller.
MAX_RATIO = 10
NEXT_STEP = "get it again, or give another file with --checkpoint"


@dataclass(frozen=True)
class CheckpointContent:
    """The tensors under plain names. `stripped`: each wrapper or prefix that was taken off, as a phrase for users."""

    tensors: dict[str, Tensor]
    stripped: tuple[str, ...]


def load_state_dict(path: Path) -> dict[str, Tensor]:
    """Return the checkpoint's tensors on the CPU, wrappers and prefixes taken off; see `read_checkpoint`."""
    return read_checkpoint(path).tensors


def read_checkpoint(path: Path) -> CheckpointContent:
    """Return the checkpoint's tensors and what was taken off to reach them.

    Reads `torch.save` files (memory-mapped where the format allows), one that lies alone in a zip archive, and
    safetensors, told apart by content.

    Raises:
        CheckpointError: missing, damaged, holds pickled code, something other than tensors, or NaN or infinity.
        MissingDependencyError: a safetensors file without safetensors installed.
    """
    content, stripped = _unwrap(_read(path))
    tensors = _require_tensors(path, content)
    tensors, prefixes = _strip_prefixes(tensors)
    _require_finite(path, tensors)
    return CheckpointContent(tensors, (*stripped, *prefixes))


def check_layout(expected: Mapping[str, Size], found: Mapping[str, Tensor], subject: str) -> None:
    """Raise unless `found` has exactly the expected keys and shapes.

    Raises:
        LayoutError: all unexpected, missing and misshapen keys are counted, the first few of each named.
    """
    missing = [name for name in expected if name not in found]
    unexpected = [name for name in found if name not in expected]
    misshapen = [
        f"{name} {tuple(found[name].shape)} instead of {tuple(shape)}"
        for name, shape in expected.items()
        if name in found and found[name].shape != shape
    ]
    if not (missing or unexpected or misshapen):
        return
    kinds = {"missing": missing, "unexpected": unexpected, "misshapen": misshapen}
    differences = "; ".join(f"{len(names)} {kind} ({_first(names)})" for kind, names in kinds.items() if names)
    raise LayoutError(f"{subject}: {differences}; {_advice(len(expected), len(missing), len(misshapen))}")


def _advice(expected: int, missing: int, misshapen: int) -> str:
    matching = expected - missing - misshapen
    if matching < expected / 2:
        return (
            f"only {matching} of {expected} tensors fit, so this is a checkpoint of another family or size:"
            " name the model that it was trained as (`sam-export models`)"
        )
    return (
        f"{matching} of {expected} tensors fit, so this is another model of the family, a changed one, or an incomplete"
        " file: name the model that it was trained as (`sam-export models`), or save upstream's layout"
    )


def _read(path: Path) -> object:
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
    except OSError as exc:
        raise CheckpointError(f"{path}: cannot be read ({exc.strerror}); give the path of a checkpoint file") from exc
    if head[8:9] == b"{":
        return _read_safetensors(path)
    zipped = head.startswith(ZIP_MAGIC)
    try:
        inner = _unpacked(path) if zipped else None
        content = _load(path, mmap=zipped) if inner is None else _load(inner, mmap=False)
    except pickle.UnpicklingError as exc:
        raise _pickle_error(path, str(exc), head) from exc
    # torch.load lets whatever its readers meet in a damaged file escape, AttributeError and AssertionError included.
    except Exception as exc:
        if "TorchScript" in str(exc):
            raise CheckpointError(
                f"{path}: is a TorchScript archive, which holds code; give its state dict instead"
            ) from exc
        raise _damaged(path, head) from exc
    if zipped:
        _require_checksums(path)
    return content


def _unpacked(path: Path) -> io.BytesIO | None:
    """Return the checkpoint that lies alone in an archive, None if the archive is the checkpoint; neither is a bomb."""
    _refuse_bomb(path)
    inner = _alone_in_zip(path)
    if inner is not None and zipfile.is_zipfile(inner):
        _refuse_bomb(inner)
    if inner is not None:
        inner.seek(0)
    return inner


def _refuse_bomb(archive: Path | io.BytesIO) -> None:
    """Raise ValueError if a few bytes of the archive would become gigabytes in memory."""
    with zipfile.ZipFile(archive) as opened:
        entries = opened.infolist()
    if sum(entry.file_size for entry in entries) > MAX_RATIO * sum(entry.compress_size for entry in entries) + 2**20:
        raise ValueError("unpacks to many times its size")


def _alone_in_zip(path: Path) -> io.BytesIO | None:
    """Return the checkpoint that a plain zip archive holds alone, as EfficientSAM-S is published; else None."""
    with zipfile.ZipFile(path) as archive:
        files = [
            entry for entry in archive.infolist() if not entry.is_dir() and not entry.filename.startswith(RESOURCES)
        ]
        if len(files) != 1 or not files[0].filename.endswith(CHECKPOINT_ENDINGS):
            return None
        if files[0].file_size > MAX_UNPACKED_BYTES:
            return None
        return io.BytesIO(archive.read(files[0]))


def _load(path: Path | io.BytesIO, *, mmap: bool) -> object:
    with warnings.catch_warnings():
        # About pickle protocols and the like: what it means for the user is said by our own error.
        warnings.simplefilter("ignore", UserWarning)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap or None)


def _require_checksums(path: Path) -> None:
    """Raise unless every part of the archive has its checksum, which torch writes and does not look at.

    One changed bit in a weight gives masks that are a little worse, and the gate's reference would have it, too.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as exc:
        # All that zipfile raises for parts that are damaged, encrypted (RuntimeError) or packed as it does not know.
        raise CheckpointError(f"{path}: {CUT_SHORT}; {NEXT_STEP}") from exc
    if damaged:
        raise CheckpointError(
            f"{path}: {damaged} in it does not have its checksum, so the file was damaged or saved without; "
            "get it again, or save it again with torch.serialization.set_crc32_options(True)"
        )


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as exc:
        raise MissingDependencyError(f"{path}: needs safetensors; pip install 'sam-export[export]'") from exc
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as exc:
        raise CheckpointError(f"{path}: is a safetensors file that was cut short or damaged; {NEXT_STEP}") from exc


def _pickle_error(path: Path, said: str, head: bytes) -> CheckpointError:
    asked = re.search(r"GLOBAL ([\w.]+)", said)
    # Text and random bytes name unknown pickle operations too; only a real pickle can mean them.
    if asked or ("nsupported" in said and head.startswith((ZIP_MAGIC, PICKLE_MAGIC))):
        wants = f" (it asks for {asked[1]})" if asked else " or objects other than tensors"
        return CheckpointError(
            f"{path}: holds pickled code{wants}, which is never run; if you trust it, save its tensors alone:"
            " torch.save(model.state_dict(), ...) or safetensors"
        )
    return _damaged(path, head)


def _damaged(path: Path, head: bytes) -> CheckpointError:
    return CheckpointError(f"{path}: {describe(path, head)}; {NEXT_STEP}")


def _unwrap(content: object) -> tuple[object, tuple[str, ...]]:
    """Descend through {'model': {...}, 'optimizer': ...} as training scripts write it."""
    stripped: list[str] = []
    while isinstance(content, Mapping):
        inside = next((key for key in WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if inside is None:
            break
        beside = [str(key) for key in content if key != inside]
        stripped.append(f"taken from {inside!r}" + (f", beside {_first(beside)}" if beside else ""))
        content = content[inside]
    return content, tuple(stripped)


def _require_tensors(path: Path, content: object) -> dict[str, Tensor]:
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(
            f"{path}: holds {_kind(content)}, not named tensors;"
            " save model.state_dict() and give that with --checkpoint"
        )
    others = [
        f"{name}: {_kind(value)}"
        for name, value in content.items()
        if not _is_plain(value) or not isinstance(name, str)
    ]
    if others:
        raise CheckpointError(
            f"{path}: {len(others)} of {len(content)} entries are not plain tensors ({_first(others)});"
            " save model.state_dict() of the float model and give that with --checkpoint"
        )
    return dict(content)


def _kind(value: object) -> str:
    if isinstance(value, Tensor):
        layout = "quantized" if value.is_quantized else str(value.layout).removeprefix("torch.")
        return f"a {layout} tensor on {value.device}"
    return "nothing" if isinstance(value, Mapping) and not value else type(value).__name__


def _is_plain(value: object) -> bool:
    return isinstance(value, Tensor) and value.layout is torch.strided and not value.is_quantized and not value.is_meta


def _strip_prefixes(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Take off what DataParallel and torch.compile put before every name."""
    stripped: list[str] = []
    while prefix := next((start for start in PREFIXES if all(name.startswith(start) for name in tensors)), None):
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
        stripped.append(f"prefix {prefix!r} taken off")
    return tensors, tuple(stripped)


def _require_finite(path: Path, tensors: Mapping[str, Tensor]) -> None:
    broken = [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
    if broken:
        raise CheckpointError(
            f"{path}: {len(broken)} of {len(tensors)} tensors hold NaN or infinity ({_first(broken)});"
            " the training diverged or the file is damaged: give an earlier checkpoint"
        )


def _first(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:SHOWN]) + (", ..." if len(listed) > SHOWN else "")
