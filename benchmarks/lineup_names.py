"""What those that take part beside bundles are called."""

from __future__ import annotations

EAGER, COMPILED = "PyTorch eager", "PyTorch compiled"
PLAIN_OPENVINO = "plain_openvino"
