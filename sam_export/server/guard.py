"""Who may call: those who know a key, if there are any, and pages of this server or of the origins that are allowed."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from .problems import Problem, problem_response

# All else is a page, the documentation, or tells no more than that the server runs.
GUARDED = ("/v1/", "/metrics")
SCHEME = "bearer "


class Guard:
    """ASGI middleware.

    A browser sends `Origin` with whatever a page asks of another site, and shows the answer to that page only if the
    server allows it; but it asks. Strangers' pages are refused before anything is computed for them.
    """

    def __init__(self, app: ASGIApp, api_keys: Sequence[str], allow_origins: Sequence[str]) -> None:
        self._app = app
        self._digests = tuple(_digest(key) for key in api_keys)
        self._allow_origins = frozenset(allow_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            problem = self._wrong_origin(headers) or self._no_key(scope["path"], headers)
            if problem is not None:
                await problem_response(problem, scope["state"]["request_id"])(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _wrong_origin(self, headers: Headers) -> Problem | None:
        origin = headers.get("origin")
        if origin is None or "*" in self._allow_origins or origin in self._allow_origins:
            return None
        if urlsplit(origin).netloc == headers.get("host"):
            return None
        return Problem(
            403, "origin_not_allowed", "pages of this origin may not call this server; start it with --allow-origin"
        )

    def _no_key(self, path: str, headers: Headers) -> Problem | None:
        if not self._digests or not path.startswith(GUARDED):
            return None
        given = headers.get("authorization", "")
        key = given[len(SCHEME) :].strip() if given.lower().startswith(SCHEME) else ""
        # All are compared, and digests of equal length, so that time tells nothing of a key.
        matches = [hmac.compare_digest(_digest(key), digest) for digest in self._digests]
        if any(matches):
            return None
        return Problem(
            401,
            "unauthorised",
            "no API key that is known here; send the header Authorization: Bearer KEY",
            {"WWW-Authenticate": "Bearer"},
        )


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
