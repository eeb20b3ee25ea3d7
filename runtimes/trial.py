"""A bundle from a stranger, tried in a process of its own: opened, and its self-test run, with time and memory bounded.

Structure is looked at wherever a bundle is opened. What remains is what a graph makes an engine do: crash it, compute
for hours, ask for all memory. There it does so to a process that nobody needs.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec

from .. import errors
from ..contract import EngineOptions
from ..errors import BundleError, SamExportError
from ..manifest import Manifest, read_manifest

# -P: a module in the current folder, which may be a stranger's, is not taken for an installed one.
COMMAND = (sys.executable, "-P", "-m", "sam_export.runtimes.trial_process")
# ViT-H, 2.5 GB in fp32, encodes a picture in a minute on one slow core and peaks at four times its weights.
LEAST_SECONDS, BYTES_A_SECOND = 60.0, 10e6
LEAST_BYTES, MEMORY_A_BYTE = 4 * 2**30, 6


@dataclass(frozen=True)
class TrialLimits:
    """What a trial may take. `bytes` of memory are held to on Linux alone."""

    seconds: float
    bytes: int


@dataclass(frozen=True)
class TrialRequest:
    bundle: str
    variant: str | None
    options: EngineOptions
    bytes: int


@dataclass(frozen=True)
class TrialAnswer:
    """`error`: the name of the exception, None if all went well."""

    error: str | None
    text: str


def try_bundle(
    bundle: Path | str,
    *,
    variant: str | None = None,
    options: EngineOptions | None = None,
    limits: TrialLimits | None = None,
) -> None:
    """Return once every variant, or that of the name, opened and gave its own masks in a process of its own.

    Args:
        limits: by default what the largest models need, by the size of the bundle's graphs.

    Raises:
        BundleError: it crashed that process, took too long or too much memory, or is damaged.
        SelfTestError: it runs, and gives other masks than the bundle's.
        SamExportError: whatever else `open_bundle` raises on it.
    """
    path = Path(bundle)
    allowed = limits or trial_limits(read_manifest(path))
    request = TrialRequest(str(path.absolute()), variant, options or EngineOptions(), allowed.bytes)
    try:
        done = subprocess.run(
            COMMAND,
            input=msgspec.json.encode(request),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=allowed.seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise _refused(path, f"it takes more than {allowed.seconds:g} s to open and test itself") from exc
    _raise(path, _answer(path, done))


def trial_limits(manifest: Manifest) -> TrialLimits:
    """Return what the self-test of a bundle of this size may take."""
    size = sum(variant.bytes for variant in manifest.variants)
    return TrialLimits(LEAST_SECONDS + size / BYTES_A_SECOND, LEAST_BYTES + MEMORY_A_BYTE * size)


def _answer(bundle: Path, done: subprocess.CompletedProcess[bytes]) -> TrialAnswer:
    try:
        return msgspec.json.decode(done.stdout, type=TrialAnswer)
    except msgspec.DecodeError as exc:
        ended = f"status {done.returncode}"
        if done.returncode < 0:
            ended = signal.Signals(-done.returncode).name
        raise _refused(bundle, f"it ends the process that opens it ({ended})") from exc


def _raise(bundle: Path, answer: TrialAnswer) -> None:
    if answer.error is None:
        return
    own = getattr(errors, answer.error, None)
    if isinstance(own, type) and issubclass(own, SamExportError):
        raise own(answer.text)
    raise _refused(bundle, f"opening it fails ({answer.error}: {answer.text[:300]})")


def _refused(bundle: Path, reason: str) -> BundleError:
    return BundleError(f"{bundle}: tried in a process of its own, {reason}; do not use this bundle")
