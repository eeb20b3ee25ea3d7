"""What is looked at in a graph before an engine sees it, since a bundle may come from anyone, with hashes that agree.

Each format has one function. It reads structure alone, in milliseconds and without the engine: that the file is of the
format that its target names, that it reads no other file than those beside it, that its tensors are as large as the
bytes that they have, and that it holds nothing that this project never writes and that runs without end.
"""

from .coreml_package import require_sound_package
from .onnx_graph import require_sound_onnx
from .openvino_ir import require_sound_ir

__all__ = ["require_sound_ir", "require_sound_onnx", "require_sound_package"]
