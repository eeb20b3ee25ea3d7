"""A bundle behind HTTP: pictures are encoded here, prompts answered here or in the caller's own decoder.

    app = create_app(open_served_bundle(Path("dist/mobile_sam-onnx-int8")), ServerOptions())

`sam-export serve` runs it. Needs FastAPI (`pip install 'sam-export[serve]'`); no torch.
"""

from .app import create_app
from .options import ServerOptions
from .served_bundle import ServedBundle, open_served_bundle

__all__ = ["ServedBundle", "ServerOptions", "create_app", "open_served_bundle"]
