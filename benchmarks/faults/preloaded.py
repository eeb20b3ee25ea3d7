"""Imports the converters and engines, once for all processes that are forked from the one that imports this."""

from __future__ import annotations

import importlib

from ...optional import import_coremltools, import_openvino

PURPOSE = "breaking exports"

import_openvino(purpose=PURPOSE, extra="openvino")
import_coremltools(purpose=PURPOSE, extra="coreml")
for name in ("onnx", "onnx_ir", "onnxruntime", "torch.onnx", "torch.export"):
    importlib.import_module(name)
