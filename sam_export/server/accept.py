"""Which embedding a caller wants, by its `Accept` header (RFC 9110, 12.5.1)."""

from __future__ import annotations

from email.message import Message
from typing import cast

from ..runtimes.embedding_tensors import DTYPES, EmbeddingDtype
from .problems import Problem

MEDIA_TYPE = "application/vnd.sam-export.semb"
DEFAULT_DTYPE: EmbeddingDtype = "fp16"
RANGES = (MEDIA_TYPE, "application/octet-stream", "application/*", "*/*")


def media_type(dtype: EmbeddingDtype) -> str:
    return f"{MEDIA_TYPE}; dtype={dtype}"


def wanted_dtype(accept: str | None) -> EmbeddingDtype:
    """Return how the tensors are stored; fp16 unless a `dtype` is given. Of several types the one preferred most wins.

    Raises:
        Problem: 406, nothing of what is accepted can be given.
    """
    offers = [_offer(part) for part in (accept or MEDIA_TYPE).split(",") if part.strip()]
    fitting = [(quality, dtype) for quality, dtype in offers if quality > 0 and dtype is not None]
    if not fitting:
        raise Problem(
            406,
            "not_acceptable",
            f"Accept {accept!r:.200}: not given here; accept {MEDIA_TYPE}, with dtype={', dtype='.join(DTYPES)}",
        )
    return max(fitting, key=lambda offer: offer[0])[1]


def _offer(text: str) -> tuple[float, EmbeddingDtype | None]:
    """Return the quality of one accepted type, and what it means here, None for nothing."""
    header = Message()
    header["content-type"] = text.strip()
    dtype = str(header.get_param("dtype", DEFAULT_DTYPE)).lower()
    fits = header.get_content_type() in RANGES and dtype in DTYPES
    return _quality(str(header.get_param("q", "1"))), cast(EmbeddingDtype, dtype) if fits else None


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
