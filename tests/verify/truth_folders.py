"""Folders of pictures with ground truth, as people have them: COCO instances, or mask PNGs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage import data

Json = dict[str, object]
HW = (40, 60)


def picture(path: Path, hw: tuple[int, int] = HW, seed: int = 3) -> Path:
    """Write a picture of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*hw, 3), np.uint8)).save(path)
    return path


def rectangles(*boxes: tuple[int, int, int, int], hw: tuple[int, int] = HW) -> NDArray[np.uint8]:
    """Return a label map: the first box (x0, y0, x1, y1) has the value 1, the next 2."""
    labels = np.zeros(hw, np.uint8)
    for label, (x0, y0, x1, y1) in enumerate(boxes, start=1):
        labels[y0:y1, x0:x1] = label
    return labels


def mask_png(path: Path, labels: NDArray[np.uint8] | NDArray[np.uint16]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(labels).save(path)
    return path


def square(x0: float, y0: float, x1: float, y1: float) -> list[float]:
    return [x0, y0, x1, y0, x1, y1, x0, y1]


def annotation(outline: object, number: int = 7, image: int = 1, **more: object) -> Json:
    return {"id": number, "image_id": image, "category_id": 1, "segmentation": outline, **more}


def coco_file(folder: Path, *annotations: Json, name: str = "annotations.json", **images: Json) -> Path:
    """Write an instances file about `a.png`, of `HW`, with whatever is said differently of it."""
    listed = {"id": 1, "file_name": "a.png", "height": HW[0], "width": HW[1], **images.get("first", {})}
    rest = [images[key] for key in images if key != "first"]
    path = folder / name
    path.write_text(json.dumps({"images": [listed, *rest], "annotations": list(annotations), "categories": []}))
    return path


def coins_and_cup(folder: Path) -> Mapping[str, int]:
    """Write two pictures of scikit-image with their masks; return how many objects each has."""
    coins = data.coins()
    bright = ndimage.binary_opening(ndimage.binary_fill_holes(coins > 120), iterations=3)
    labels, _ = ndimage.label(bright)
    sizes = np.bincount(labels.ravel())
    large = [label for label in range(1, len(sizes)) if sizes[label] > 600][:6]
    kept = np.zeros(coins.shape, np.uint8)
    for value, label in enumerate(large, start=1):
        kept[labels == label] = value
    rows, columns = np.mgrid[:400, :600]
    cup = ((columns - 330) / 135) ** 2 + ((rows - 185) / 140) ** 2 < 1
    Image.fromarray(coins).save(folder / "coins.png")
    Image.fromarray(data.coffee()).save(folder / "coffee.png")
    mask_png(folder / "masks" / "coins.png", kept)
    mask_png(folder / "masks" / "coffee_cup.png", cup.astype(np.uint8) * 255)
    return {"coffee.png": 1, "coins.png": len(large)}
