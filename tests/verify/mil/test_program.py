"""Loading: unknown operations, other kinds of model, and packages that are damaged or hostile."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import pytest
from coremltools.converters.mil import Builder as mb

from sam_export.errors import BundleError, UnsupportedError
from sam_export.verify.mil.ops import HANDLERS
from sam_export.verify.mil.program import load_program

from .cases import normal
from .packages import save_package

WEIGHT = normal(16, 8)


def small(folder: Path) -> Path:
    def body(x: Any) -> Any:
        return mb.relu(x=mb.linear(x=x, weight=WEIGHT))

    return save_package(folder / "small.mlpackage", body, {"x": normal(2, 8)})


def model_file(package: Path) -> Path:
    return package / "Data" / "com.apple.CoreML" / "model.mlmodel"


def weight_file(package: Path) -> Path:
    return package / "Data" / "com.apple.CoreML" / "weights" / "weight.bin"


def test_a_package_becomes_a_typed_program(tmp_path: Path) -> None:
    program = load_program(small(tmp_path), HANDLERS)
    assert [operation.type for operation in program.operations] == ["linear", "relu"]
    assert [port.name for port in program.inputs] == ["x"]
    assert program.outputs == ("y0",)
    weights = [constant for constant in program.constants.values() if constant.shape == (16, 8)]
    np.testing.assert_array_equal(weights[0].numpy(), WEIGHT)


def test_unknown_operation_is_named_with_its_output_and_package(tmp_path: Path) -> None:
    path = save_package(tmp_path / "odd.mlpackage", lambda x: mb.cumsum(x=x, axis=0), {"x": normal(3)})
    with pytest.raises(UnsupportedError, match=r"odd\.mlpackage: unknown operation 'cumsum' giving 'y0'"):
        load_program(path, HANDLERS)


def truncate_model(package: Path) -> None:
    file = model_file(package)
    file.write_bytes(file.read_bytes()[:200])


def random_model(package: Path) -> None:
    model_file(package).write_bytes(np.random.default_rng(0).bytes(500))


def truncate_weights(package: Path) -> None:
    file = weight_file(package)
    file.write_bytes(file.read_bytes()[:100])


def empty_weights(package: Path) -> None:
    weight_file(package).write_bytes(b"")


def remove_weights(package: Path) -> None:
    shutil.rmtree(weight_file(package).parent)


def garble_manifest(package: Path) -> None:
    (package / "Manifest.json").write_text("{")


def empty_manifest(package: Path) -> None:
    (package / "Manifest.json").write_text(json.dumps({"fileFormatVersion": "1.0.0"}))


def edit(change: Callable[[Any], None]) -> Callable[[Path], None]:
    """Return a damage that changes the parsed model and writes it back."""

    def damage(package: Path) -> None:
        spec = ct.proto.Model_pb2.Model()
        spec.ParseFromString(model_file(package).read_bytes())
        change(spec)
        model_file(package).write_bytes(spec.SerializeToString())

    return damage


def block(spec: Any) -> Any:
    function = spec.mlProgram.functions["main"]
    return function.block_specializations[function.opset]


def file_value(spec: Any) -> Any:
    return next(
        op.attributes["val"].blobFileValue
        for op in block(spec).operations
        if op.type == "const" and op.attributes["val"].WhichOneof("value") == "blobFileValue"
    )


def far_offset(spec: Any) -> None:
    file_value(spec).offset = 1 << 40


def huge_side(spec: Any) -> None:
    for op in block(spec).operations:
        if op.outputs[0].type.tensorType.rank == 2:
            op.outputs[0].type.tensorType.dimensions[0].constant.size = 1 << 40


def missing_input(spec: Any) -> None:
    del block(spec).operations[-1].inputs["x"]


def dangling_name(spec: Any) -> None:
    block(spec).operations[-1].inputs["x"].arguments[0].name = "nobody"


def no_operations(spec: Any) -> None:
    del block(spec).operations[:]


def other_opset(spec: Any) -> None:
    spec.mlProgram.functions["main"].opset = "CoreML99"


def undescribed_input(spec: Any) -> None:
    spec.description.input[0].name = "somebody"


DAMAGES: dict[str, Callable[[Path], None]] = {
    "model-truncated": truncate_model,
    "model-random": random_model,
    "weights-truncated": truncate_weights,
    "weights-empty": empty_weights,
    "weights-missing": remove_weights,
    "manifest-garbled": garble_manifest,
    "manifest-empty": empty_manifest,
    "offset-beyond-the-file": edit(far_offset),
    "huge-side": edit(huge_side),
    "input-missing": edit(missing_input),
    "dangling-name": edit(dangling_name),
    "no-operations": edit(no_operations),
    "opset-without-block": edit(other_opset),
    "input-not-described": edit(undescribed_input),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damage_is_one_line_with_the_next_step(damage: Callable[[Path], None], tmp_path: Path) -> None:
    path = small(tmp_path)
    damage(path)
    with pytest.raises(BundleError, match=r"small\.mlpackage: damaged .*; export it again$") as raised:
        load_program(path, HANDLERS)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kind", ["missing", "empty-folder", "file"])
def test_what_is_no_package_is_refused_and_left_alone(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.mlpackage"
    if kind == "file":
        path.write_bytes(b"\0" * 64)
    elif kind == "empty-folder":
        path.mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BundleError, match=r"no Manifest\.json"):
        load_program(path, HANDLERS)
    assert sorted(tmp_path.rglob("*")) == before


def other_kind(spec: Any) -> None:
    spec.neuralNetwork.SetInParent()


def second_function(spec: Any) -> None:
    spec.mlProgram.functions["other"].CopyFrom(spec.mlProgram.functions["main"])


@pytest.mark.parametrize(
    ("change", "said"),
    [(other_kind, "neuralNetwork model"), (second_function, r"functions \['main', 'other'\]")],
    ids=["neural-network", "two-functions"],
)
def test_other_models_are_unsupported(change: Callable[[Any], None], said: str, tmp_path: Path) -> None:
    path = small(tmp_path)
    edit(change)(path)
    with pytest.raises(UnsupportedError, match=said):
        load_program(path, HANDLERS)
