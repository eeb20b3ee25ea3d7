"""Where a graph lies in a Triton model repository, as `<repository>/<model>/<version>/model.onnx`.

Source: docs/user_guide/model_repository.md (triton-inference-server/server).
"""

from __future__ import annotations

from pathlib import Path

from .contract import ComponentName

REPOSITORY = "triton"
VERSION = "1"
MODEL_FILE = "model.onnx"
CONFIG_FILE = "config.pbtxt"


def onnx_file(path: Path, component: ComponentName) -> Path:
    """Return the ONNX file of a graph whose path is a repository; any other path is that file itself."""
    return path / component / VERSION / MODEL_FILE if path.name == REPOSITORY else path
