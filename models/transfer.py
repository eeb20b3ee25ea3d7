"""One HTTP transfer into a file: streamed, resumed after a break, retried with growing waits.

Owns the bytes and their number. What they hash to is the cache's business. Proxies and certificates come from
the environment as httpx reads it (HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CheckpointError, MissingDependencyError

if TYPE_CHECKING:
    import httpx

Progress = Callable[[str, int, int], None]
"""Called with the stage, bytes done and bytes in all (0 where nobody knows)."""

PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
NEXT_STEP = (
    "check the network and the proxy variables (HTTPS_PROXY, SSL_CERT_FILE), or give a local file with --checkpoint"
)


@dataclass(frozen=True)
class Retries:
    """How often in a row a transfer may fail without a new byte, and the waits between, doubled each time."""

    attempts: int = 4
    first_wait_s: float = 0.5
    longest_wait_s: float = 20.0

    def wait_s(self, failures: int, asked_s: float) -> float:
        """`asked_s`: the server's own Retry-After, 0 if it named none."""
        return min(self.longest_wait_s, max(asked_s, self.first_wait_s * 2.0 ** (failures - 1)))


@dataclass(frozen=True)
class Transfer:
    """What to fetch and where to. `partial` survives a break, with its validator in a file beside it."""

    url: str
    partial: Path
    headers: Mapping[str, str] = field(default_factory=dict)
    size_bytes: int | None = None
    progress: Progress | None = None

    @property
    def validator_path(self) -> Path:
        return self.partial.with_name(self.partial.name + ".etag")


class _BrokenError(Exception):
    """The transfer stopped, and another attempt may carry on. `wait_s`: what the server asked for."""

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


def download(transfer: Transfer, retries: Retries) -> None:
    """Bring `transfer.partial` to the full length that the server names.

    Raises:
        CheckpointError: refused by the server, broken too often, or longer than `size_bytes`.
        MissingDependencyError: httpx, or its SOCKS support, is not installed.
        OSError: the file cannot be written.
    """
    failures, furthest = 0, _size(transfer.partial)
    with _client() as client:
        while True:
            try:
                return _attempt(client, transfer)
            except _BrokenError as exc:
                # A break after new bytes is not a failure in a row; a restart from zero gains none.
                failures = failures + 1 if _size(transfer.partial) <= furthest else 1
                furthest = max(furthest, _size(transfer.partial))
                if failures >= retries.attempts:
                    raise CheckpointError(f"{transfer.url}: {exc}, {failures} times in a row; {NEXT_STEP}") from exc
                time.sleep(retries.wait_s(failures, exc.wait_s))


def _client() -> httpx.Client:
    try:
        import httpx

        agent = f"sam-export/{metadata.version('sam-export')}"
        # `identity`: with a compressed body neither Content-Length nor a range speaks of the file.
        headers = {"User-Agent": agent, "Accept-Encoding": "identity"}
        return httpx.Client(follow_redirects=True, timeout=httpx.Timeout(60.0, connect=20.0), headers=headers)
    except ImportError as exc:
        wanted = "httpx[socks]" if "socks" in str(exc) else "sam-export[export]"
        raise MissingDependencyError(f"downloads need {wanted} ({exc}); pip install '{wanted}'") from exc
    except (ValueError, OSError) as exc:
        raise CheckpointError(f"network settings: {exc}; check HTTPS_PROXY, ALL_PROXY and SSL_CERT_FILE") from exc


def _attempt(client: httpx.Client, transfer: Transfer) -> None:
    import httpx

    try:
        with client.stream("GET", transfer.url, headers=_range_headers(transfer)) as response:
            _receive(response, transfer)
    except (httpx.UnsupportedProtocol, httpx.TooManyRedirects, httpx.InvalidURL) as exc:
        raise CheckpointError(
            f"{transfer.url}: {exc}; check the address, or give a local file with --checkpoint"
        ) from exc
    except httpx.TransportError as exc:
        raise _BrokenError(f"{type(exc).__name__}: {exc}".rstrip(": ")) from exc


def _range_headers(transfer: Transfer) -> dict[str, str]:
    """Ask for the rest only if the file is still the one that the first part came from."""
    validator, have = _read_validator(transfer), _size(transfer.partial)
    if not validator or not have:
        return dict(transfer.headers)
    return {**transfer.headers, "Range": f"bytes={have}-", "If-Range": validator}


def _receive(response: httpx.Response, transfer: Transfer) -> None:
    match response.status_code:
        case 206:
            start, total = _content_range(response)
            if start != _size(transfer.partial) or _strong_etag(response) not in ("", _read_validator(transfer)):
                _forget(transfer)
                raise _BrokenError("the server sent another range than was asked for")
            _write(response, transfer, start, total)
        case 200:
            _write_validator(transfer, _strong_etag(response))
            _write(response, transfer, 0, int(response.headers.get("Content-Length", 0)))
        case 416:
            if _content_range(response)[1] != _size(transfer.partial):
                _forget(transfer)
                raise _BrokenError("the file on the server changed")
        case status if status in PASSING_STATUS:
            raise _BrokenError(f"HTTP {status} {response.reason_phrase}", _retry_after_s(response))
        case status:
            raise CheckpointError(f"{transfer.url}: HTTP {status} {response.reason_phrase}; {_refusal(status)}")


def _write(response: httpx.Response, transfer: Transfer, start: int, total: int) -> None:
    """Append the body at `start`. `total`: the length of the whole file as the server gives it, 0 if it does not."""
    _require_size(transfer, total)
    done = start
    with transfer.partial.open("ab" if start else "wb") as stream:
        for chunk in response.iter_raw():
            stream.write(chunk)
            done += len(chunk)
            _require_size(transfer, done)
            if transfer.progress:
                transfer.progress("download", done, total or transfer.size_bytes or 0)
    if total and done != total:
        raise _BrokenError(f"the transfer ended after {done} of {total} bytes")


def _require_size(transfer: Transfer, found: int) -> None:
    if transfer.size_bytes is not None and found > transfer.size_bytes:
        _forget(transfer)
        raise CheckpointError(
            f"{transfer.url}: has at least {found} bytes, the pinned file {transfer.size_bytes}; the file was replaced"
            " upstream, or a proxy answered in its place: look at the address, or give a local file with --checkpoint"
        )


def _content_range(response: httpx.Response) -> tuple[int, int]:
    """Return (first byte, length of the whole file); -1 and 0 where the header does not say."""
    found = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", response.headers.get("Content-Range", "").strip())
    if not found:
        return -1, 0
    return int(found[1] or -1), 0 if found[2] == "*" else int(found[2])


def _strong_etag(response: httpx.Response) -> str:
    """A weak one (`W/`) promises the same meaning, not the same bytes: RFC 9110 bars it from If-Range."""
    etag = str(response.headers.get("ETag", ""))
    return "" if etag.startswith("W/") else etag


def _retry_after_s(response: httpx.Response) -> float:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() else 0.0


def _refusal(status: int) -> str:
    if status in (401, 403, 407):
        return "access was refused: log in or set the proxy's credentials, or give a local file with --checkpoint"
    return "the address does not give the file: install a newer sam-export, or give a local file with --checkpoint"


def _read_validator(transfer: Transfer) -> str:
    """Return the ETag of the partial file, empty if it came from elsewhere or has none."""
    try:
        url, _, etag = transfer.validator_path.read_text("utf-8").partition("\n")
    except (FileNotFoundError, UnicodeDecodeError):
        return ""
    return etag.strip() if url == transfer.url else ""


def _write_validator(transfer: Transfer, etag: str) -> None:
    """Written once the old part is emptied, so that a validator never vouches for another file's bytes."""
    transfer.validator_path.unlink(missing_ok=True)
    transfer.partial.write_bytes(b"")
    if etag.isascii() and etag.isprintable() and etag:
        transfer.validator_path.write_text(f"{transfer.url}\n{etag}\n", "utf-8")


def _forget(transfer: Transfer) -> None:
    transfer.validator_path.unlink(missing_ok=True)
    transfer.partial.unlink(missing_ok=True)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
