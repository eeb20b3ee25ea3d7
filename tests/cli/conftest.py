"""The bundle of the runtime tests, for the commands that read one."""

from __future__ import annotations

from ..runtimes.conftest import bundle, graph_folder, picture, segmenter, sessions

__all__ = ["bundle", "graph_folder", "picture", "segmenter", "sessions"]
