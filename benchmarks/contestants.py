"""What takes part in a benchmark, and how a process of its own opens it. Imports torch only where torch is timed."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from ..contract import EngineOptions, Session
from ..runtimes import Segmenter


class Contestant(msgspec.Struct, frozen=True):
    """`path`: a bundle, or the folder of a peer's graphs. `model`, `checkpoint`, `seed`: for PyTorch alone.

    `compute_precision`: a hint for the engine, None for what a bundle was verified in. `takes_threads`: whether the
    engine can be told how many; Core ML chooses its own.
    """

    name: str
    kind: Literal["bundle", "peer", "pytorch"]
    what: str
    threads: int
    path: str = ""
    model: str = ""
    checkpoint: str | None = None
    seed: int | None = None
    compute_precision: str | None = None
    compiled: bool = False
    takes_threads: bool = True
    asked: bool = False


def open_contestant(one: Contestant) -> Segmenter:
    """Return it, ready for `set_image`.

    Raises:
        SamExportError: it cannot be run here; the text says why.
    """
    threads = one.threads if one.takes_threads else None
    options = EngineOptions(threads=threads, compute_precision=one.compute_precision)
    if one.kind == "bundle":
        from ..runtimes import open_bundle

        return open_bundle(one.path, options=options)
    if one.kind == "peer":
        from .peer_sessions import open_peer

        return open_peer(Path(one.path), options)
    return _open_pytorch(one)


def _open_pytorch(one: Contestant) -> Segmenter:
    import torch

    from ..models import load, untrained
    from .plain_modules import PlainSession, plain_modules

    torch.set_num_threads(one.threads)
    checkpoint = None if one.checkpoint is None else Path(one.checkpoint)
    model = load(one.model, checkpoint) if one.seed is None else untrained(one.model, one.seed)
    sessions: dict[str, Session] = {
        name: PlainSession(module, contract, compiled=one.compiled)
        for name, (module, contract) in plain_modules(model).items()
    }
    return Segmenter(sessions, model.variant.preprocessing, model.variant.mask_rule)
