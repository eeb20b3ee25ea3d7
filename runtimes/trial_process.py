"""The process in which a stranger's bundle is tried: a request on stdin, an answer on stdout, nothing else."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec

from ..manifest import read_manifest
from .bundle_reader import open_bundle
from .trial import TrialAnswer, TrialRequest


def main() -> None:
    """Answer one request. What crashes, crashes here."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # engines print what would be taken for the answer
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=TrialRequest)
    answers.write(msgspec.json.encode(answer(request)))
    answers.close()


def answer(request: TrialRequest) -> TrialAnswer:
    """Return what came of opening each variant and running its self-test."""
    try:
        _bound_memory(request.bytes)
        bundle = Path(request.bundle)
        names = [variant.name for variant in read_manifest(bundle).variants]
        for name in names if request.variant is None else [request.variant]:
            open_bundle(bundle, variant=name, options=request.options).selftest()
    except Exception as exc:  # whatever it is, the one who asked is to hear of it
        return TrialAnswer(type(exc).__name__, " ".join(str(exc).split()))
    return TrialAnswer(None, "")


def _bound_memory(limit: int) -> None:
    """Let allocations beyond the limit fail. Only Linux holds to it; Windows has no such thing."""
    if sys.platform == "linux":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (limit if most < 0 else min(limit, most), most))


if __name__ == "__main__":
    main()
