"""What a caller is told when a request is not answered: one JSON shape (RFC 9457), one code and status for each cause.

A problem says what was given, what is allowed and the next step, and nothing of the machine: faults of the server's
own have one fixed sentence, and their cause goes to its log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

import msgspec
from starlette.responses import Response

from ..errors import ImageError, ImageFormatError, ImageSizeError, RequestError, SamExportError

MEDIA_TYPE = "application/problem+json"
INTERNAL = "the server failed on this request; its log has the cause under the request's id"
CLIENT_CLOSED = 499


@dataclass(frozen=True)
class ProblemBody:
    """Why a request was not answered. `code` is for programs and does not change, `detail` is for people."""

    code: str
    title: str
    status: int
    detail: str
    request_id: str


class Problem(Exception):
    """A request that is answered with a problem; `detail` is fit to be shown."""

    def __init__(self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})


def overloaded(detail: str, retry_after: int) -> Problem:
    return Problem(429, "overloaded", detail, {"Retry-After": str(retry_after)})


def problem_of(exc: Exception) -> Problem:
    """Return what an error of the project means to the caller; the texts of errors that a caller makes are its own."""
    match exc:
        case Problem():
            return exc
        case ImageFormatError():
            return Problem(415, "not_a_picture", str(exc))
        case ImageSizeError():
            return Problem(413, "picture_too_large", str(exc))
        case ImageError():
            return Problem(400, "picture_unusable", str(exc))
        case RequestError():
            return Problem(422, "prompt_invalid", str(exc))
        case _:
            return Problem(500, "internal", INTERNAL)


def is_fault(exc: Exception) -> bool:
    """Whether the server's log must have it: no error that a caller makes."""
    return not isinstance(exc, Problem) and (
        not isinstance(exc, SamExportError) or problem_of(exc).status == HTTPStatus.INTERNAL_SERVER_ERROR
    )


def problem_response(problem: Problem, request_id: str) -> Response:
    title = "Client Closed Request" if problem.status == CLIENT_CLOSED else HTTPStatus(problem.status).phrase
    body = ProblemBody(problem.code, title, problem.status, problem.detail, request_id)
    return Response(msgspec.json.encode(body), problem.status, problem.headers, MEDIA_TYPE)
