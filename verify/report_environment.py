"""How pages are made: templates beside the modules, everything escaped, nothing fetched."""

from __future__ import annotations

from importlib.resources import files

import jinja2

from .report_format import format_bytes, format_error, format_iou, format_points, format_share, format_snr, printable


def page_environment(*packages: str) -> jinja2.Environment:
    """Return the environment of templates in these packages and in this one, the first that has a name first."""
    folders = [files(package) for package in (*packages, __package__)]

    def source(name: str) -> str | None:
        return next((file.read_text("utf-8") for folder in folders if (file := folder / name).is_file()), None)

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(source),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: printable(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "iou": format_iou,
        "error": format_error,
        "points": format_points,
        "snr": format_snr,
        "share": format_share,
        "size": format_bytes,
    }
    return environment
