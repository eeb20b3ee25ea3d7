"""Found objects as files that other tools read: COCO, labelme, GeoJSON, mask PNGs, overlays."""

from .writers import WRITERS, FoundObject, OutlineStyle, PictureResult, Writer, merged_coco

__all__ = ["WRITERS", "FoundObject", "OutlineStyle", "PictureResult", "Writer", "merged_coco"]
