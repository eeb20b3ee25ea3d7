"""The description of the interface, for `/docs` and `/openapi.json`."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI
from starlette.responses import Response

from ..runtimes.embedding_tensors import DTYPES
from . import accept, problems
from .messages import MasksAnswer, MasksRequest
from .problems import ProblemBody

DESCRIPTION = (
    "Segment Anything behind HTTP: send a picture and get it encoded, for a decoder of your own, or get masks. "
    "Coordinates and masks are in pixels of the picture, upright. Whatever is refused is answered with a problem, "
    "whose `code` is for programs. With an API key, send `Authorization: Bearer KEY`."
)
SCHEMAS = "#/components/schemas/{name}"
# FastAPI's own, which no route here answers with.
UNUSED = ("HTTPValidationError", "ValidationError")

Json = dict[str, Any]


class Api(FastAPI):
    """FastAPI, describing what msgspec reads and writes."""

    def openapi(self) -> Json:
        """Return the description, made once."""
        description: Json = super().openapi()
        schemas: Json = description.setdefault("components", {}).setdefault("schemas", {})
        if ProblemBody.__name__ not in schemas:
            _, own = msgspec.json.schema_components((MasksRequest, MasksAnswer, ProblemBody), ref_template=SCHEMAS)
            schemas.update(own)
            description["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            for name in UNUSED:
                schemas.pop(name, None)
            for path in description["paths"].values():
                for operation in path.values():
                    _drop_unused(operation["responses"])
        return description


def _drop_unused(responses: Json) -> None:
    content = responses.get("422", {}).get("content", {})
    if "application/json" in content:
        del responses["422"]


def _schema(model: type) -> Json:
    return {"$ref": SCHEMAS.format(name=model.__name__)}


def _problems(*statuses: int) -> Json:
    return {str(status): _problem(status) for status in sorted({401, 403, *statuses})}


def _problem(status: int) -> Json:
    described: Json = {
        "description": HTTPStatus(status).phrase,
        "content": {problems.MEDIA_TYPE: {"schema": _schema(ProblemBody)}},
    }
    if status in (429, 503):
        described["headers"] = {"Retry-After": {"description": "seconds", "schema": {"type": "string"}}}
    return described


def _route(summary: str, responses: Json, **extra: Any) -> Json:
    """Return what `add_api_route` is told."""
    return {
        "summary": summary,
        "responses": responses,
        "response_class": Response,
        "response_model": None,
        "openapi_extra": {"security": [{}, {"key": []}], **extra},
    }


def _content(types: Mapping[str, Json]) -> Json:
    return {media_type: {"schema": schema} for media_type, schema in types.items()}


BYTES: Json = {"type": "string", "format": "binary"}
TEXT: Json = {"type": "string"}
STATUS: Json = {"type": "object", "required": ["status"], "properties": {"status": TEXT}}

EMBEDDINGS = _route(
    "Encode a picture",
    {
        "200": {
            "description": "The picture, encoded: a `.semb` file; X-Embedding-Id names it for /v1/masks. "
            f"Accept says how its tensors are stored: {accept.MEDIA_TYPE}; dtype={' | '.join(DTYPES)} "
            f"({accept.DEFAULT_DTYPE} if nothing is said).",
            "content": _content({accept.MEDIA_TYPE: BYTES}),
            "headers": {
                "X-Embedding-Id": {"description": "sha256 of the picture's file", "schema": TEXT},
                "X-Cache": {"description": "whether it was encoded already", "schema": {"enum": ["hit", "miss"]}},
            },
        },
        **_problems(400, 406, 408, 413, 415, 429, 500, 503),
    },
    requestBody={"required": True, "content": _content({"image/*": BYTES, "application/octet-stream": BYTES})},
)
MASKS = _route(
    "Answer prompts with masks",
    {
        "200": {
            "description": "Masks, one answer a prompt",
            "content": _content({"application/json": _schema(MasksAnswer)}),
        },
        **_problems(400, 404, 408, 413, 415, 422, 429, 500, 503),
    },
    requestBody={"required": True, "content": _content({"application/json": _schema(MasksRequest)})},
)
BUNDLE = _route(
    "A file of the bundle, to decode with",
    {
        "200": {
            "description": "The file",
            "content": _content({"application/octet-stream": BYTES, "application/json": {}}),
        },
        "304": {"description": "The caller has it already (If-None-Match)"},
        **_problems(404),
    },
)
HEALTH = _route(
    "Whether requests are answered",
    {
        "200": {"description": "Ready", "content": _content({"application/json": STATUS})},
        "503": {"description": "Not ready", "content": _content({"application/json": STATUS})},
    },
)
LIVE = _route(
    "Whether the server runs", {"200": {"description": "Live", "content": _content({"application/json": STATUS})}}
)
METRICS = _route(
    "Numbers for Prometheus",
    {"200": {"description": "Prometheus' text format", "content": _content({"text/plain": TEXT})}, **_problems()},
)
