"""Segment what a box holds and write its mask: segment.py BUNDLE PICTURE X0,Y0,X1,Y1 MASK.png"""

import sys
from pathlib import Path

from PIL import Image

from sam_export import open_bundle
from sam_export.runtimes import read_image

bundle, picture, box, out = sys.argv[1:]

segmenter = open_bundle(bundle)
segmenter.selftest()  # raises if this machine does not give the bundle's own masks

segmenter.set_image(read_image(Path(picture)))  # once a picture; any uint8 [H, W, 3] RGB array will do
masks, iou_predictions, low_res_masks = segmenter.predict(  # once a prompt
    box=[float(side) for side in box.split(",")],  # in pixels of the picture
    multimask_output=False,  # one mask instead of three
)
Image.fromarray(masks[0]).save(out)  # masks: bool [1, H, W], as large as the picture
print(f"{out}: {masks[0].sum()} pixels, predicted IoU {iou_predictions[0]:.2f}")
