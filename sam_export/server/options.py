"""What a server allows itself and others: every limit, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import RequestError

MIB = 2**20
MAX_PROMPTS = 64


@dataclass(frozen=True)
class ServerOptions:
    """Limits of one server process.

    Args:
        max_body_bytes: of one picture, as it is sent.
        max_held_bytes: of all bodies that are in memory together.
        max_pixels: of one picture; read from its header, before anything is decoded.
        max_waiting: pictures that wait for an encoder; one more is answered 429.
        max_waiting_prompts: prompts that wait for a decoder; likewise.
        max_mask_pixels: of all masks of one answer together, which bounds its time.
        cache_bytes: for encoded pictures that are kept.
        body_seconds, body_pause_seconds: for a whole body, and between two pieces of it.
        answer_seconds: from the whole body to the answer.
        allow_origins: web origins other than the server's own that may call it; "*" allows all.
        api_keys: what callers must know; none leaves the server open.
        page: folder of the built demo page.

    Raises:
        RequestError: a limit that makes no sense; the text names it.
    """

    max_body_bytes: int = 32 * MIB
    max_held_bytes: int = 256 * MIB
    max_pixels: int = 50_000_000
    max_waiting: int = 32
    max_waiting_prompts: int = 256
    max_mask_pixels: int = 500_000_000
    cache_bytes: int = 512 * MIB
    body_seconds: float = 60.0
    body_pause_seconds: float = 10.0
    answer_seconds: float = 60.0
    allow_origins: tuple[str, ...] = ()
    api_keys: tuple[str, ...] = ()
    page: Path | None = None

    def __post_init__(self) -> None:
        for name in ("max_body_bytes", "max_pixels", "max_waiting", "max_mask_pixels", "body_seconds"):
            _require(name, getattr(self, name), 1)
        _require("max_held_bytes", self.max_held_bytes, self.max_body_bytes)
        _require("max_waiting_prompts", self.max_waiting_prompts, MAX_PROMPTS)
        _require("cache_bytes", self.cache_bytes, 0)
        for name in ("body_pause_seconds", "answer_seconds"):
            _require(name, getattr(self, name), 0.01)

    @property
    def max_json_bytes(self) -> int:
        """Of a request with a picture in base64, and of one with as many masks fed back as there are prompts."""
        return self.max_body_bytes * 4 // 3 + MIB


def _require(name: str, value: float, least: float) -> None:
    if not value >= least:
        raise RequestError(f"serve: {name} is {value:g}, allowed: at least {least:g}")
