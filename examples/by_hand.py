"""A bundle without our runtime: every step that an app in another language takes, each from `bundle.json`.

    by_hand.py BUNDLE PICTURE X0,Y0,X1,Y1 MASK.png

The graphs are run by onnxruntime here (a bundle of --target onnx). Core ML and OpenVINO bundles have graphs with the
same inputs and outputs; in Core ML `image` is an RGB image instead of an array. Without ORT_DISABLE_TELEMETRY=1 in the
environment onnxruntime reports its sessions to its maker.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image


def main(bundle: Path, picture: Path, box: list[float], out: Path) -> None:
    manifest = json.loads((bundle / "bundle.json").read_text())
    pre, rule = manifest["preprocessing"], manifest["mask_rule"]
    encoder, decoder = (manifest["variants"][0]["graphs"][name] for name in ("image_encoder", "mask_decoder"))
    image = np.asarray(Image.open(picture).convert("RGB"))
    hw = image.shape[:2]

    features = run(bundle, encoder, {"image": as_input(image, pre)})  # once a picture
    answer = run(bundle, decoder, features | as_prompt(box, hw, pre, rule))  # once a prompt
    low_res = answer["low_res_masks"][0, rule["single_mask_token"]]
    Image.fromarray(in_picture(low_res, hw, pre, rule) > rule["threshold"]).save(out)


def run(bundle: Path, graph: dict, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(bundle / graph["open_path"], providers=["CPUExecutionProvider"])
    names = [output["name"] for output in graph["contract"]["outputs"]]
    return dict(zip(names, session.run(names, feeds), strict=True))


def fitted_hw(hw: tuple[int, int], frame_hw: list[int], fit: str) -> tuple[int, int]:
    """How large a picture is inside a frame: its longest side fills it, or (stretch) both do."""
    if fit == "stretch":
        return frame_hw[0], frame_hw[1]
    scale = min(frame / side for frame, side in zip(frame_hw, hw, strict=True))
    return max(1, math.floor(hw[0] * scale + 0.5)), max(1, math.floor(hw[1] * scale + 0.5))


def as_input(image: np.ndarray, pre: dict) -> np.ndarray:
    """uint8 [H, W, 3] -> float32 [1, 3, S, S], 0..255: resized, padded right and bottom, not normalised."""
    height, width = fitted_hw(image.shape[:2], pre["image_hw"], pre["fit"])
    columns = Image.fromarray(image).resize((width, image.shape[0]), Image.Resampling.BILINEAR)
    resized = np.asarray(columns.resize((width, height), Image.Resampling.BILINEAR))
    padding = resized.min() if pre["padding"] == "minimum" else pre["normalisation"]["mean"]
    canvas = np.empty((*pre["image_hw"], 3), np.float32)
    canvas[:] = padding
    canvas[:height, :width] = resized
    return canvas.transpose(2, 0, 1)[np.newaxis]


def as_prompt(box: list[float], hw: tuple[int, int], pre: dict, rule: dict) -> dict[str, np.ndarray]:
    """A box is two points, labelled 2 and 3, in pixels of the prompt frame; points that pad are labelled -1."""
    height, width = fitted_hw(hw, pre["prompt_frame_hw"], pre["fit"])
    coords = [[x * width / hw[1], y * height / hw[0]] for x, y in (box[:2], box[2:])]
    padding = rule["point_slots"] - 2 if rule["point_slots"] else int(rule["padding_point"] == "always")
    feeds = {
        "point_coords": np.array([coords + [[0, 0]] * padding], np.float32),
        "point_labels": np.array([[2, 3] + [-1] * padding], np.float32),
    }
    if rule["takes_mask"]:
        feeds["mask_input"] = np.zeros((1, 1, *rule["mask_hw"]), np.float32)
        feeds["has_mask_input"] = np.zeros(1, np.float32)
    return feeds


def in_picture(low_res: np.ndarray, hw: tuple[int, int], pre: dict, rule: dict) -> np.ndarray:
    """Logits in the picture: enlarged to the prompt frame, without the padding, then to the picture."""
    frame_hw = rule["mask_hw"] if rule["upsampling"] == "direct" else pre["prompt_frame_hw"]
    height, width = fitted_hw(hw, frame_hw, pre["fit"])
    return bilinear(bilinear(low_res, frame_hw)[:height, :width], hw)


def bilinear(values: np.ndarray, hw: tuple[int, int] | list[int]) -> np.ndarray:
    """Linear between the centres of pixels, the border's value beyond them; `align_corners=False` elsewhere."""
    for size in (hw[0], hw[1]):
        place = np.maximum((np.arange(size) + 0.5) * len(values) / size - 0.5, 0)
        low = np.minimum(place.astype(int), len(values) - 1)
        part = (place - low)[:, np.newaxis]
        values = (values[low] * (1 - part) + values[np.minimum(low + 1, len(values) - 1)] * part).T
    return values


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), [float(side) for side in sys.argv[3].split(",")], Path(sys.argv[4]))
