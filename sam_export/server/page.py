"""What is shown at `/`: the demo page if it was built, otherwise how to build it."""

from __future__ import annotations

from html import escape
from pathlib import Path

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from ..errors import RequestError

BUILT = Path(__file__).with_name("page")
INDEX = "index.html"
# With these a page gets threads in WebAssembly.
ISOLATED = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
PLAIN = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>sam-export serve</title>
<style>body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 3rem auto; padding: 0 1rem }}</style>
<h1>{model}</h1>
<p>The server runs. Its interface: <a href="docs">documentation</a>, <a href="openapi.json">openapi.json</a>,
<a href="healthz">healthz</a>.</p>
<p>There is no demo page yet. Build it in a clone with <code>make page</code>, or give the folder of a built one
as <code>--page DIR</code>, and start the server again.</p>
</html>
"""


class Page(StaticFiles):
    """The built page, isolated from other origins."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        if response.status_code == 404:  # its own 404 page
            raise HTTPException(404)
        response.headers.update(ISOLATED)
        return response


def add_page(app: FastAPI, folder: Path | None, model: str) -> None:
    """Show the page in the folder, else the one that came with the package, else how to build one.

    Raises:
        RequestError: the folder that was given holds no page.
    """
    if folder is not None and not (folder / INDEX).is_file():
        raise RequestError(f"{folder}: no {INDEX} in it; give the folder of a built page, or leave --page out")
    chosen = folder or BUILT
    if (chosen / INDEX).is_file():
        # Not mounted at "/", which would answer for the interface's paths whose method is another: 404 instead of 405.
        app.router.default = Page(directory=chosen, html=True)
        return
    text = PLAIN.format(model=escape(model))

    @app.get("/", include_in_schema=False)
    async def plain() -> HTMLResponse:
        return HTMLResponse(text)
