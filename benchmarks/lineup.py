"""Who takes part in a run: the baseline, PyTorch, the bundles, what else their engine can compute in, peers."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ..errors import BundleError, RequestError, SamExportError
from ..manifest import Manifest, ModelCard, read_manifest
from ..models import load, untrained
from .contestants import Contestant
from .lineup_names import COMPILED, EAGER, PLAIN_OPENVINO
from .peer_graphs import PLAIN
from .peer_making import PEERS, Source, make_graphs
from .run_record import Absent

# What OpenVINO can be asked to compute float graphs in, beside the fp32 that bundles are verified in.
HINTS = ("bf16", "fp16")


@dataclass(frozen=True)
class Given:
    """A bundle that was named on the command line."""

    path: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        return self.path.resolve().name


def read_bundles(paths: Sequence[Path]) -> tuple[Given, ...]:
    """Return the bundles, all of one checkpoint and with names of their own.

    Raises:
        BundleError: one is no bundle, or damaged.
        RequestError: none is given, one is given twice, or they are of several checkpoints.
    """
    given = tuple(Given(path, read_manifest(path)) for path in paths)
    if not given:
        raise RequestError("bench: no bundle given; give folders that sam-export wrote")
    first = given[0].manifest.model
    for one in given[1:]:
        card = one.manifest.model
        if card.checkpoint_sha256 != first.checkpoint_sha256:
            raise RequestError(
                f"{one.path}: of {card.model}, checkpoint {card.checkpoint_sha256[:12]}…, the first is of "
                f"{first.model}, {first.checkpoint_sha256[:12]}…; measure the bundles of each in a run of their own"
            )
    names = [one.name for one in given]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise RequestError(f"{twice}: given twice; give each bundle once, in folders of different names")
    return given


def load_source(card: ModelCard, checkpoint: Path | None) -> Source:
    """Return the weights that bundles of this card were made from.

    Raises:
        CheckpointError: they cannot be had.
        BundleError: they are not those of the card.
    """
    random = card.seed if checkpoint is None else None
    model = load(card.model, checkpoint) if random is None else untrained(card.model, random)
    if model.checkpoint_sha256 != card.checkpoint_sha256:
        raise BundleError(
            f"{card.model}: the bundles are of a checkpoint of sha256 {card.checkpoint_sha256[:12]}…, found is one of "
            f"{model.checkpoint_sha256[:12]}…; give the right one with --checkpoint"
        )
    return Source(model, checkpoint)


def pytorch(source: Source, threads: int) -> tuple[list[Contestant], list[Absent]]:
    """Return the module in PyTorch, eager, and compiled if there is a C++ compiler."""
    base = Contestant(
        EAGER,
        "pytorch",
        "upstream's modules in eager PyTorch, fp32",
        threads,
        model=source.model.variant.name,
        checkpoint=None if source.checkpoint is None else str(source.checkpoint),
        seed=source.model.seed,
    )
    compiler = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(compiler) is None:
        reason = f"torch.compile needs a C++ compiler, and there is no {compiler}; install one, or set CXX"
        return [base], [Absent(COMPILED, reason, asked=False)]
    what = "the same through torch.compile, weights frozen"
    compiled = _changed(base, name=COMPILED, what=what, compiled=True)
    return [base, compiled], []


def bundles(given: Sequence[Given], threads: int) -> list[Contestant]:
    """Return the bundles that Python runs, and OpenVINO's hints on the first of its float ones."""
    given = [one for one in given if one.manifest.target != "web"]
    found = [
        Contestant(
            one.name,
            "bundle",
            f"bundle, {one.manifest.target} {one.manifest.precision}",
            threads,
            path=str(one.path),
            takes_threads=one.manifest.target != "coreml",
            asked=True,
        )
        for one in given
    ]
    floats = [one for one in found if _is_float_openvino(given[found.index(one)].manifest)]
    if floats:
        found += [
            _changed(
                floats[0],
                name=f"{floats[0].name}, {hint} hint",
                what=f"the same graphs, computed in {hint}",
                compute_precision=hint,
                asked=False,
            )
            for hint in HINTS
        ]
    return found


def _is_float_openvino(manifest: Manifest) -> bool:
    return manifest.target == "openvino" and manifest.precision in ("fp32", "fp16")


def peers(
    names: Sequence[str], given: Sequence[Given], source: Source, threads: int, folder: Path
) -> tuple[list[Contestant], list[Absent]]:
    """Return the baseline first, then the peers that were asked for, once their graphs are made.

    Raises:
        SamExportError: the baseline cannot be made.
    """
    found, absent = [_peer(PLAIN, make_graphs(PLAIN, source, folder), threads, asked=True)], []
    engines = {one.manifest.target for one in given}
    wanted = [*([PLAIN_OPENVINO] if "openvino" in engines else []), *names]
    for name in dict.fromkeys(wanted):
        if name == PLAIN:
            continue
        try:
            found.append(_peer(name, make_graphs(name, source, folder), threads, asked=name in names))
        except SamExportError as exc:
            absent.append(Absent(name, str(exc), asked=name in names))
    return found, absent


def _peer(name: str, folder: Path, threads: int, *, asked: bool) -> Contestant:
    return Contestant(name, "peer", PEERS[name].what, threads, path=str(folder), asked=asked)


def _changed(one: Contestant, **fields: object) -> Contestant:
    return msgspec.structs.replace(one, **fields)
