"""Running coremltools without its routine noise, and without hiding anything else.

Every text silenced here is listed here; what is not listed still shows.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from ..optional import COREMLTOOLS_ROUTINE, hidden_log

# Core ML has no 64-bit integers; indices and sizes here are far below 32 bits.
ROUTINE_LOG = (*COREMLTOOLS_ROUTINE, "Saving value type of int64 into a builtin type of int32")
# Of coremltools and torch about their own insides, and of coremltools' temporary folder.
ROUTINE_WARNINGS: tuple[tuple[str, type[Warning]], ...] = (
    (r"Function _TORCH_OPS_REGISTRY\.__contains__ is deprecated", DeprecationWarning),
    (r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning),
    (r"Implicitly cleaning up <TemporaryDirectory", ResourceWarning),
)


@contextmanager
def quiet_conversion() -> Iterator[None]:
    """Hide routine messages, warnings and progress bars; all is restored afterwards."""
    with hidden_log("coremltools", ROUTINE_LOG), _progress_bars_off(), warnings.catch_warnings():
        for message, category in ROUTINE_WARNINGS:
            warnings.filterwarnings("ignore", message, category)
        yield


@contextmanager
def _progress_bars_off() -> Iterator[None]:
    """coremltools has no switch for its bars, and tqdm reads its environment variable only when imported."""
    from coremltools.converters.mil.frontend.torch import ops
    from coremltools.converters.mil.mil.passes import pass_pipeline

    bars = ops._tqdm, pass_pipeline.tqdm
    ops._tqdm, pass_pipeline.tqdm = (partial(bar, disable=True) for bar in bars)
    try:
        yield
    finally:
        ops._tqdm, pass_pipeline.tqdm = bars
