"""A bundle is checked before an engine sees it, and knows when a machine does not compute its masks."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sam_export.contract import EngineOptions
from sam_export.errors import BundleError, RequestError, SelfTestError, UnsupportedError
from sam_export.manifest import MANIFEST_NAME, read_manifest
from sam_export.runtimes import ENGINES, open_bundle, open_session
from sam_export.runtimes.bundle_reader import choose_variant
from sam_export.runtimes.engines import verified_options
from sam_export.runtimes.selftest import mask_iou

from . import geometric_model as model
from .conftest import RECIPE, SELFTEST_BOX, write_geometric_bundle


def test_open_predict_and_selftest(bundle: Path, picture: np.ndarray) -> None:
    segmenter = open_bundle(bundle)
    segmenter.set_image(picture)
    masks = segmenter.predict(box=SELFTEST_BOX).masks
    results = segmenter.selftest()
    assert [(result.case, result.iou) for result in results] == [("selftest/mask_0.png", 1.0)]
    assert np.array_equal(segmenter.predict(box=SELFTEST_BOX).masks, masks)  # the current picture stayed


def test_a_path_may_be_text(bundle: Path) -> None:
    assert open_bundle(str(bundle)).selftest()


BREAKS: dict[str, dict[str, float]] = {
    "zeros from the decoder": {"logit_scale": 0.0},
    "masks inside out": {"logit_scale": -1.0},
    "a wrong label code": {"label_of_top_left": 7.0},
}


@pytest.mark.parametrize("broken", BREAKS.values(), ids=BREAKS)
def test_selftest_finds_a_graph_that_does_not_give_its_masks(
    graph_folder: Path, bundle: Path, picture: np.ndarray, tmp_path: Path, broken: dict[str, float]
) -> None:
    good = open_bundle(bundle)
    good.set_image(picture)
    expected = good.predict(box=SELFTEST_BOX, multimask_output=False).masks[0]
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "image_encoder.onnx").write_bytes((graph_folder / "image_encoder.onnx").read_bytes())
    model.save_decoder(folder / "mask_decoder.onnx", **broken)
    segmenter = open_bundle(write_geometric_bundle(folder, picture, expected, tmp_path / "second"))
    with pytest.raises(SelfTestError, match=r"self-test selftest/mask_0.png: mask IoU 0\.\d+, minimum 0.970") as caught:
        segmenter.selftest()
    assert "mask_decoder on onnxruntime" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["mask_decoder.onnx", "image_encoder.onnx", "selftest/picture.png", "selftest/mask_0.png"]
)
def test_a_changed_byte_is_found_before_anything_runs(bundle: Path, name: str) -> None:
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content)
    with pytest.raises(BundleError, match=f"{name} was changed"):
        open_bundle(bundle)


def test_a_missing_file(bundle: Path) -> None:
    (bundle / "mask_decoder.onnx").unlink()
    with pytest.raises(BundleError, match=r"mask_decoder.onnx is missing"):
        open_bundle(bundle)


def test_a_path_that_leaves_the_bundle(bundle: Path) -> None:
    manifest = bundle / MANIFEST_NAME
    (bundle.parent / "mask_decoder.onnx").write_bytes((bundle / "mask_decoder.onnx").read_bytes())
    manifest.write_text(manifest.read_text().replace('"mask_decoder.onnx"', '"../mask_decoder.onnx"'))
    with pytest.raises(BundleError, match=r"names '../mask_decoder.onnx', which leaves the bundle"):
        open_bundle(bundle)


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda path: None], ids=["folder", "file", "nothing"])
def test_not_a_bundle(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "dist")
    with pytest.raises(BundleError, match="not a bundle"):
        open_bundle(tmp_path / "dist")


def test_variant_by_name(bundle: Path) -> None:
    assert open_bundle(bundle, variant="fp32").selftest()
    with pytest.raises(RequestError, match="variant 'fp16' asked for, it has: fp32"):
        open_bundle(bundle, variant="fp16")


def test_several_variants_need_a_name(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    one = manifest.variants[0]
    several = dataclasses.replace(manifest, variants=(one, dataclasses.replace(one, name="webgpu")))
    with pytest.raises(RequestError, match="no variant named, it has: fp32, webgpu; give one"):
        choose_variant(bundle, several, None)
    assert choose_variant(bundle, several, "webgpu").name == "webgpu"


def test_a_variant_without_a_decoder(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    graphs = {"image_encoder": manifest.variants[0].graphs["image_encoder"]}
    partial = dataclasses.replace(manifest, variants=(dataclasses.replace(manifest.variants[0], graphs=graphs),))
    with pytest.raises(BundleError, match="has no mask_decoder"):
        choose_variant(bundle, partial, None)


def test_a_bundle_is_run_in_the_precision_it_was_verified_in() -> None:
    recipe = dataclasses.replace(RECIPE, compute="bf16")
    assert verified_options("openvino", recipe, None).compute_precision == "bf16"
    assert verified_options("openvino", recipe, EngineOptions(threads=3)) == EngineOptions(
        threads=3, compute_precision="bf16"
    )
    for asked in (EngineOptions(compute_precision="fp32"), EngineOptions(provider="CUDAExecutionProvider")):
        assert verified_options("openvino", recipe, asked) == asked
    assert verified_options("coreml", recipe, None) == EngineOptions()  # takes no wish


def test_options_reach_the_engine_and_are_read_back(bundle: Path) -> None:
    segmenter = open_bundle(bundle, options=EngineOptions(threads=2))
    assert {report.threads for report in segmenter.reports.values()} == {2}
    with pytest.raises(UnsupportedError, match="NoSuchProvider"):
        open_bundle(bundle, options=EngineOptions(provider="NoSuchProvider"))


def test_a_target_that_python_does_not_run(tmp_path: Path) -> None:
    assert set(ENGINES) == {"onnx", "openvino", "coreml", "web", "triton"}
    with pytest.raises(UnsupportedError, match="no Python engine runs target 'tflite'; there are some for: onnx"):
        open_session(tmp_path / "graph", model.DECODER_CONTRACT, "tflite", RECIPE)


HEAVY = ("torch", "onnx", "onnxruntime", "openvino", "coremltools", "nncf", "transformers")


def modules_after(code: str) -> set[str]:
    script = f"{code}\nimport sys\nprint(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_pulls_in_no_engine() -> None:
    assert modules_after("import sam_export.runtimes") == set()


def test_a_bundle_runs_with_its_own_engine_alone(bundle: Path) -> None:
    assert modules_after(f"from sam_export.runtimes import open_bundle; open_bundle({str(bundle)!r}).selftest()") == {
        "onnxruntime"
    }


def test_iou_of_two_empty_masks_is_one() -> None:
    empty, full = np.zeros((3, 3), bool), np.ones((3, 3), bool)
    assert mask_iou(empty, empty) == 1.0
    assert mask_iou(empty, full) == 0.0
    assert mask_iou(np.eye(3, dtype=bool), full) == pytest.approx(1 / 3)
