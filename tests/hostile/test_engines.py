"""Hostile graphs of every format, opened and run by the engines themselves, in a process that may not survive them.

`SAM_EXPORT_HOSTILE_CASES=20000 pytest tests/hostile/test_engines.py` tries as many of each.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coremltools.converters.mil import Builder as mb
from coremltools.proto import Model_pb2
from hypothesis import given
from hypothesis import strategies as st

from sam_export.contract import COMPONENT_NAMES
from sam_export.optional import import_openvino

from ..runtimes import geometric_model as model
from ..verify.mil.packages import save_package
from ..verify.mil.test_program import model_file, weight_file
from .graph_mutations import changed_ir, changed_message, changed_onnx
from .mutations import damaged
from .opener import Opener
from .test_parsers import try_many

pytestmark = pytest.mark.slow

SAVES = {"image_encoder": model.save_encoder, "mask_decoder": model.save_decoder}


@pytest.fixture(scope="module")
def opener() -> Iterator[Opener]:
    process = Opener()
    yield process
    process.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("graphs")


@pytest.fixture(scope="module")
def onnx_files(folder: Path) -> dict[str, bytes]:
    return {name: save(folder / f"{name}.onnx").read_bytes() for name, save in SAVES.items()}


@pytest.fixture(scope="module")
def irs(onnx_files: dict[str, bytes], folder: Path) -> dict[str, tuple[str, bytes]]:
    openvino = import_openvino(purpose="testing", extra="dev")
    made = {}
    for name in onnx_files:
        path = folder / f"{name}.xml"
        openvino.save_model(openvino.Core().read_model(folder / f"{name}.onnx"), path, compress_to_fp16=False)
        made[name] = (path.read_text(), path.with_suffix(".bin").read_bytes())
    return made


def encoder_program(image: Any) -> Any:
    """An encoder of the geometric model's contract, of ops of every file of the evaluator."""
    chance = np.random.default_rng(0)
    kernel, matrix = chance.normal(size=(3, 3, 3, 3)), chance.normal(size=(32, 32))
    x = mb.conv(x=image, weight=kernel.astype(np.float32), pad_type="custom", pad=[1, 1, 1, 1], strides=[2, 2])
    x = mb.linear(x=mb.layer_norm(x=x, axes=[-1]), weight=matrix.astype(np.float32))
    x = mb.reshape(x=mb.transpose(x=mb.softmax(x=x, axis=-1), perm=[0, 1, 3, 2]), shape=[1, 3, -1, 32])
    row = mb.tile(x=mb.slice_by_index(x=x, begin=[0, 0, 0, 0], end=[1, 3, 1, 32]), reps=[1, 1, 32, 1])
    return mb.gelu(x=mb.concat(values=[mb.add(x=x, y=row)], axis=0))


@pytest.fixture(scope="module")
def package(folder: Path) -> Path:
    """Its output has the contract's name, which `save_package` does not give."""
    path = save_package(folder / "image_encoder.mlpackage", encoder_program, {"image": np.zeros((1, 3, 64, 64), "f4")})
    content = model_file(path).read_bytes()
    spec = Model_pb2.Model.FromString(content)
    name = model.ENCODER_CONTRACT.output_names[0]
    block = spec.mlProgram.functions["main"].block_specializations[spec.mlProgram.functions["main"].opset]
    block.outputs[0] = block.operations[-1].outputs[0].name = spec.description.output[0].name = name
    model_file(path).write_bytes(spec.SerializeToString(deterministic=True))
    return path


def chance(data: st.DataObject) -> random.Random:
    """One number is drawn, since what a mutation asks for depends on the file."""
    return random.Random(data.draw(st.integers(0, 2**64 - 1)))


@pytest.mark.parametrize("component", COMPONENT_NAMES)
def test_the_good_ones_run(opener: Opener, folder: Path, irs: object, package: Path, component: str) -> None:
    before = opener.counts["ran"]
    opener.require_own_error("onnx", component, folder / f"{component}.onnx")
    opener.require_own_error("openvino", component, folder / f"{component}.xml")
    opener.require_own_error("coreml", "image_encoder", package)
    assert opener.counts["ran"] == before + 3


@pytest.mark.parametrize("component", COMPONENT_NAMES)
@try_many
@given(data=st.data())
def test_onnx(
    opener: Opener, onnx_files: dict[str, bytes], tmp_path_factory: Any, component: str, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / f"hostile-{component}.onnx"
    content = onnx_files[component]
    if data.draw(st.integers(0, 4)):
        path.write_bytes(changed_onnx(content, chance(data)))
    else:
        path.write_bytes(data.draw(damaged(content)))
    opener.require_own_error("onnx", component, path)


@pytest.mark.parametrize("component", COMPONENT_NAMES)
@try_many
@given(data=st.data())
def test_openvino(
    opener: Opener, irs: dict[str, tuple[str, bytes]], tmp_path_factory: Any, component: str, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / f"hostile-{component}.xml"
    text, weights = changed_ir(*irs[component], chance(data))
    path.write_text(text)
    path.with_suffix(".bin").write_bytes(weights)
    opener.require_own_error("openvino", component, path)


@try_many
@given(data=st.data())
def test_coreml(opener: Opener, package: Path, tmp_path_factory: Any, data: st.DataObject) -> None:
    path = tmp_path_factory.getbasetemp() / "hostile.mlpackage"
    shutil.copytree(package, path, dirs_exist_ok=True)
    which = data.draw(st.integers(0, 5))
    file = {0: path / "Manifest.json", 1: weight_file(path), 2: model_file(path)}.get(which)
    if file is not None:
        file.write_bytes(data.draw(damaged(file.read_bytes())))
    else:
        spec = Model_pb2.Model.FromString(model_file(path).read_bytes())
        changed_message(spec, chance(data))
        model_file(path).write_bytes(spec.SerializeToString(deterministic=True))
    opener.require_own_error("coreml", "image_encoder", path)
