"""The files of the bundle that pages decode with: those that are listed, read only."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import FileResponse, Response

from .problems import Problem
from .served_bundle import ServedFile

MEDIA_TYPES = {".json": "application/json", ".png": "image/png", ".html": "text/html; charset=utf-8"}


def bundle_file(files: Mapping[str, ServedFile], path: str, if_none_match: str | None) -> Response:
    """Return one file, or 304 if the caller has it already.

    Raises:
        Problem: 404, it is not among those that are served.
    """
    file = files.get(path)
    if file is None:
        raise Problem(404, "not_found", f"no file of that name is served; there are: {', '.join(sorted(files))}")
    headers = {"ETag": f'"{file.sha256}"', "Cache-Control": "no-cache"}
    if file.sha256 in (if_none_match or ""):
        return Response(status_code=304, headers=headers)
    media_type = MEDIA_TYPES.get(file.path.suffix, "application/octet-stream")
    return FileResponse(file.path, headers=headers, media_type=media_type)
