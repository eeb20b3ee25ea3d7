"""The interface, version 1: what is asked, and which part answers."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, FastAPI, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import JSONResponse, Response

from . import openapi
from .accept import media_type, wanted_dtype
from .bundle_files import bundle_file
from .metrics import Metrics
from .problems import Problem
from .served_bundle import ServedBundle
from .service import Service

PARTS = "multipart/"
EMBEDDING_ID = "X-Embedding-Id"


@dataclass(frozen=True, eq=False)
class Served:
    """What the routes answer from."""

    bundle: ServedBundle
    metrics: Metrics
    service: Service


def add_routes(app: FastAPI) -> None:
    """Add the interface. `app.state.served` is a `Served`."""
    router = APIRouter()
    router.add_api_route("/v1/embeddings", embeddings, methods=["POST"], **openapi.EMBEDDINGS)
    router.add_api_route("/v1/masks", masks, methods=["POST"], **openapi.MASKS)
    router.add_api_route("/v1/bundle/{path:path}", bundle, methods=["GET"], **openapi.BUNDLE)
    router.add_api_route("/v1/bundle/{path:path}", bundle, methods=["HEAD"], include_in_schema=False)
    router.add_api_route("/healthz", health, methods=["GET"], **openapi.HEALTH)
    router.add_api_route("/healthz/live", live, methods=["GET"], **openapi.LIVE)
    router.add_api_route("/metrics", metrics, methods=["GET"], **openapi.METRICS)
    app.include_router(router)


async def embeddings(request: Request) -> Response:
    """Encode a picture: its file in the body, a `.semb` in the answer."""
    service = _served(request).service
    dtype = wanted_dtype(request.headers.get("accept"))
    _require_picture(request.headers.get("content-type"))
    service.encoders.require_places()
    async with service.uploads.body(request, service.options.max_body_bytes) as data:
        found = await service.unless_gone(request, service.pictures.encoded(data))
    packed = await service.pictures.packed(found, dtype)
    headers = {EMBEDDING_ID: found.id, "X-Cache": "hit" if found.kept else "miss", "Vary": "Accept"}
    return Response(packed, headers=headers, media_type=media_type(dtype))


async def masks(request: Request) -> Response:
    """Answer prompts on a picture with masks."""
    service = _served(request).service
    service.decoders.require_places()
    async with service.uploads.body(request, service.options.max_json_bytes) as data:
        answer = await service.unless_gone(request, service.masks.answer(data))
    return Response(answer, media_type="application/json")


async def bundle(request: Request, path: str) -> Response:
    """Return a file of the bundle that pages decode with."""
    return bundle_file(_served(request).bundle.files, path, request.headers.get("if-none-match"))


async def health(request: Request) -> Response:
    """Tell whether the server answers requests."""
    ready = _served(request).service.is_ready
    return JSONResponse({"status": "ready" if ready else "not ready"}, 200 if ready else 503)


async def live() -> Response:
    """Tell that the server runs at all."""
    return JSONResponse({"status": "live"})


async def metrics(request: Request) -> Response:
    """Return numbers for Prometheus."""
    return Response(_served(request).metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _served(request: Request) -> Served:
    served: Served = request.app.state.served
    return served


def _require_picture(content_type: str | None) -> None:
    """Refuse a form of parts, which is no file. What the bytes are is read from them alone: curl calls all of them
    application/x-www-form-urlencoded."""
    if content_type is not None and content_type.lower().startswith(PARTS):
        raise Problem(
            415,
            "not_a_picture",
            f"Content-Type {content_type!r:.100}: send the bytes of the picture's file as the body, "
            "as image/* or application/octet-stream",
        )
