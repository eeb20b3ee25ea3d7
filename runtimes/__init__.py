"""Running verified bundles: pictures and prompts in, masks out. Imports neither torch nor a converter.

`open_bundle` gives a `Segmenter` over the engine of the bundle's target: onnxruntime, OpenVINO, or Core ML (macOS).
"""

from .automatic import AutomaticMaskGenerator, MaskRecord
from .bundle_reader import open_bundle
from .engines import ENGINES, open_session
from .images import read_image
from .picture_model import EncodedPicture, Prediction
from .segmenter import Segmenter
from .selftest import SelfTestResult
from .trial import TrialLimits, try_bundle

__all__ = [
    "ENGINES",
    "AutomaticMaskGenerator",
    "EncodedPicture",
    "MaskRecord",
    "Prediction",
    "Segmenter",
    "SelfTestResult",
    "TrialLimits",
    "open_bundle",
    "open_session",
    "read_image",
    "try_bundle",
]
