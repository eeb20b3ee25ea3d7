"""Export Segment Anything models to ONNX, OpenVINO and Core ML, and prove that they still segment.

    from sam_export import open_bundle

    segmenter = open_bundle("dist/lite_medsam-onnx-fp32")
    segmenter.set_image(image)
    masks, iou_predictions, low_res_masks = segmenter.predict(box=[x0, y0, x1, y1])

Running a bundle needs neither torch nor a converter. Exporting is `sam_export.pipeline.export_bundles`.
"""

from .contract import EngineOptions
from .errors import SamExportError
from .runtimes import Segmenter, open_bundle

__all__ = ["EngineOptions", "SamExportError", "Segmenter", "open_bundle"]
