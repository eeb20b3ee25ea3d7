"""The three files of a run: what was measured, and what is made of it for people."""

from __future__ import annotations

from pathlib import Path

from ..staging import staged_file
from .markdown import markdown
from .page import render_page
from .run_record import Run, encode_run

STEM = "bench"


def write_run(run: Run, folder: Path) -> tuple[Path, ...]:
    """Return the files, written in place of older ones.

    Raises:
        OutputError: the folder cannot be written.
    """
    contents = {
        f"{STEM}.json": encode_run(run),
        f"{STEM}.md": markdown(run).encode(),
        f"{STEM}.html": render_page(run).encode(),
    }
    paths = tuple(folder / name for name in contents)
    for path, content in zip(paths, contents.values(), strict=True):
        with staged_file(path) as partial:
            partial.write_bytes(content)
    return paths
