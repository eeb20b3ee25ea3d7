"""The application: routes, the layers around them, and the parts that live as long as it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from ..errors import SamExportError
from .guard import Guard
from .metrics import Metrics
from .observer import Observer, log_fault
from .openapi import DESCRIPTION, Api
from .options import ServerOptions
from .page import add_page
from .problems import Problem, is_fault, problem_of, problem_response
from .routes import EMBEDDING_ID, Served, add_routes
from .served_bundle import ServedBundle
from .service import Service

PREFLIGHT_SECONDS = 600
CODES = {404: "not_found", 405: "method_not_allowed"}
ERRORS = (Problem, SamExportError, HTTPException, RequestValidationError)


def create_app(bundle: ServedBundle, options: ServerOptions | None = None) -> FastAPI:
    """Return the application, for uvicorn or any other ASGI server; one process each.

    Raises:
        RequestError: `options.page` holds no page.
    """
    limits = options or ServerOptions()
    measured = Metrics()
    service = Service(bundle, limits, measured)
    app = Api(
        title="sam-export serve",
        version=version("sam-export"),
        description=DESCRIPTION,
        lifespan=partial(_running, service),
        redoc_url=None,
    )
    app.state.served = Served(bundle, measured, service)
    add_routes(app)
    add_page(app, limits.page, bundle.model.model)
    _add_layers(app, limits, measured)
    for error in ERRORS:
        app.add_exception_handler(error, _problem)
    return app


def _add_layers(app: FastAPI, options: ServerOptions, metrics: Metrics) -> None:
    """Add them from the innermost to the outermost."""
    app.add_middleware(Guard, api_keys=options.api_keys, allow_origins=options.allow_origins)
    if options.allow_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(options.allow_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
            expose_headers=["X-Request-ID", EMBEDDING_ID, "X-Cache", "Retry-After"],
            max_age=PREFLIGHT_SECONDS,
        )
    app.add_middleware(Observer, metrics=metrics)


@asynccontextmanager
async def _running(service: Service, _app: FastAPI) -> AsyncIterator[None]:
    service.start()
    try:
        yield
    finally:
        await service.stop()


async def _problem(request: Request, exc: Exception) -> Response:
    request_id: str = request.state.request_id
    if isinstance(exc, HTTPException):
        detail = f"{request.method} {request.url.path[:200]!r}: {exc.detail}; see /docs"
        problem = Problem(exc.status_code, CODES.get(exc.status_code, "bad_request"), detail, exc.headers)
    elif isinstance(exc, RequestValidationError):
        problem = Problem(422, "request_invalid", "; ".join(str(error["msg"]) for error in exc.errors()))
    else:
        problem = problem_of(exc)
        if is_fault(exc):
            log_fault(request_id, exc)
    return problem_response(problem, request_id)
