"""No picture that a quantizer goes by is one that its result is measured on."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from sam_export import pipeline
from sam_export.errors import RequestError
from sam_export.held_out import require_held_out
from sam_export.jobs import ExportRequest, Job
from sam_export.pipeline import export_bundles
from sam_export.quantize.request import QuantizeRequest
from sam_export.verify.pictures import Picture, picture_set, pictures_in

SETS = {name: picture_set(name) for name in ("calibration", "search", "gate")}


def saved(folder: Path, *pictures: Picture) -> Path:
    folder.mkdir(exist_ok=True)
    for place, picture in enumerate(pictures):
        Image.fromarray(picture.image).save(folder / f"own-{place}.png")
    return folder


def request(evaluation: Path | None, calibration: Path | None) -> ExportRequest:
    quantization = QuantizeRequest(calibration=() if calibration is None else pictures_in(calibration))
    return ExportRequest("lite_medsam", ("onnx",), Path("dist"), evaluation=evaluation, quantization=quantization)


def check(asked: ExportRequest, precision: str) -> None:
    measured_on = SETS["gate"] if asked.evaluation is None else pictures_in(asked.evaluation)
    require_held_out(asked, (Job("onnx", precision),), measured_on)


@pytest.mark.parametrize(
    ("evaluation", "calibration", "precision", "text"),
    [
        (("gate", "calibration"), None, "w8", r"own-1.png of --evaluation is in the built-in calibration set, too;"),
        (("search",), None, "int8", r"own-0.png of --evaluation is in the built-in search set, too;"),
        (("search",), None, "auto+fp32", r"own-0.png of --evaluation is in the built-in search set, too;"),
        (None, ("gate",), "w8", r"own-0.png of --calibration is in the built-in gate set, too;"),
        (None, ("calibration", "search"), "int8", r"own-1.png of --calibration is in the built-in search set, too;"),
        (("gate", "search"), ("calibration", "gate"), "w4", r"own-0.png of --evaluation is in --calibration, too;"),
    ],
)
def test_a_picture_in_two_of_them_is_named(
    tmp_path: Path,
    evaluation: tuple[str, ...] | None,
    calibration: tuple[str, ...] | None,
    precision: str,
    text: str,
) -> None:
    measured = evaluation and saved(tmp_path / "measured", *(SETS[name][0] for name in evaluation))
    given = calibration and saved(tmp_path / "given", *(SETS[name][0] for name in calibration))
    with pytest.raises(RequestError, match=f"^{text}.*; take it out of --"):
        check(request(measured or None, given or None), precision)


@pytest.mark.parametrize(
    ("evaluation", "calibration", "precision"),
    [
        (None, None, "int8"),
        (("gate",), None, "int8"),
        (("gate",), ("calibration",), "int8"),
        (("search",), None, "w8"),
        (("calibration",), ("gate",), "w8"),
        (("calibration", "search"), None, "fp32"),
    ],
)
def test_what_is_apart_is_let_through(
    tmp_path: Path, evaluation: tuple[str, ...] | None, calibration: tuple[str, ...] | None, precision: str
) -> None:
    measured = evaluation and saved(tmp_path / "measured", *(SETS[name][0] for name in evaluation))
    given = calibration and saved(tmp_path / "given", *(SETS[name][0] for name in calibration))
    check(request(measured or None, given or None), precision)


def test_it_is_refused_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(*_: object, **__: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(pipeline, "load", work)
    folder = saved(tmp_path / "both", SETS["calibration"][0])
    asked = ExportRequest("lite_medsam", ("onnx",), tmp_path / "dist", precisions=("w8",), evaluation=folder)
    with pytest.raises(RequestError, match="is in the built-in calibration set"):
        export_bundles(asked)
