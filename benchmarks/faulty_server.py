"""`sam-export serve` with an encoder that raises now and then, for a soak.

    python -m sam_export.benchmarks.faulty_server dist/lite_medsam-onnx-int8 --faults 0.02

The faults are put around the segmenter, not into the server: it is the one that users run.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..contract import EngineOptions
from ..runtimes import EncodedPicture, Segmenter
from ..runtimes.preprocess import PreparedImage
from ..server import ServerOptions, create_app, open_served_bundle
from ..server.run import ListenOptions, listen, serve

MIB = 2**20
# In the log, beside whatever else may go wrong.
FAULT = "a fault that was asked for"


class FaultySegmenter(Segmenter):
    """Fails for a share of the pictures, and for all of them in bursts.

    Args:
        share: of the pictures, at random.
        burst_every, burst_seconds: how often all fail, and for how long.
    """

    def __init__(self, segmenter: Segmenter, share: float, burst_every: float, burst_seconds: float) -> None:
        self.__dict__.update(segmenter.__dict__)
        self._share = share
        self._burst_every, self._burst_seconds = burst_every, burst_seconds
        self._random = np.random.default_rng(0)
        self._began = time.monotonic()

    def encode_prepared(self, prepared: PreparedImage) -> EncodedPicture:
        """Return the picture encoded, or raise RuntimeError."""
        since = (time.monotonic() - self._began) % self._burst_every
        if since > self._burst_every - self._burst_seconds or self._random.random() < self._share:
            raise RuntimeError(FAULT)
        return super().encode_prepared(prepared)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("--faults", type=float, default=0.02, help="share of pictures (default: %(default)s)")
    parser.add_argument("--burst-every", type=float, default=60.0, metavar="S")
    parser.add_argument("--burst-seconds", type=float, default=3.0, metavar="S")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cache-mb", type=int, default=64)
    given = parser.parse_args()
    opened = open_served_bundle(given.bundle, options=EngineOptions(threads=given.threads))
    faulty = FaultySegmenter(opened.segmenters[0], given.faults, given.burst_every, given.burst_seconds)
    bundle = replace(opened, segmenters=(faulty,))
    listening = ListenOptions(port=0)
    with listen(listening) as socket:
        host, port = socket.getsockname()
        text = f"serving faults on http://{host}:{port}\n"
        app = create_app(bundle, ServerOptions(cache_bytes=given.cache_mb * MIB))
        serve(app, socket, listening, lambda: _say(text))


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


if __name__ == "__main__":
    main()
