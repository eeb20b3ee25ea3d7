"""A recipe is kept as it is, and a file that is none is refused in words that say what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sam_export.errors import RequestError
from sam_export.quantize.plan import (
    MAX_PLAN_BYTES,
    SCHEMA_VERSION,
    ComponentPlan,
    LayerPlan,
    QuantizationPlan,
    decode_plan,
    encode_plan,
    read_plan,
)

ENCODER = ComponentPlan(
    compute="bf16",
    ranges="percentile",
    rounding="gptq",
    smoothing=0.75,
    correct_biases=True,
    layers=(
        LayerPlan("encoder.fc1", "int8", "uint8", "uint8"),
        LayerPlan("encoder.fc2", "lut4"),
        LayerPlan("encoder.norm", reason="“small” – and it matters"),
    ),
)
PLAN = QuantizationPlan(
    SCHEMA_VERSION,
    "tiny_sam",
    "ab" * 32,
    "openvino",
    "int8",
    {"image_encoder": ENCODER, "mask_decoder": ComponentPlan()},
)


def edited(change: Callable[[dict[str, Any]], object]) -> bytes:
    raw = json.loads(encode_plan(PLAN))
    change(raw)
    return json.dumps(raw).encode()


def first_layer(raw: dict[str, Any]) -> dict[str, Any]:
    layer: dict[str, Any] = raw["components"]["image_encoder"]["layers"][0]
    return layer


def test_a_plan_comes_back_equal(tmp_path: Path) -> None:
    text = encode_plan(PLAN)
    assert decode_plan(text, "x") == PLAN
    assert encode_plan(decode_plan(text, "x")) == text
    path = tmp_path / "recipe.json"
    path.write_bytes(text)
    assert read_plan(path) == PLAN


def test_a_plan_is_written_for_people_too() -> None:
    text = encode_plan(PLAN).decode()
    assert text.endswith("}\n")
    assert '"layer": "encoder.fc1",' in text
    assert len(text.splitlines()) > 30


def test_what_a_file_leaves_out_is_float() -> None:
    text = edited(lambda raw: raw["components"].update(mask_decoder={"layers": [{"layer": "a"}]}))
    assert decode_plan(text, "x").components["mask_decoder"] == ComponentPlan(layers=(LayerPlan("a"),))
    assert PLAN.components["mask_decoder"].of("anything") == LayerPlan("anything", "float", "float", "float")


def test_layers_are_left_in_float_for_a_reason() -> None:
    left = ENCODER.with_float(frozenset({"encoder.fc1", "encoder.nowhere"}), "because")
    assert left.layers == (LayerPlan("encoder.fc1", reason="because"), *ENCODER.layers[1:])
    assert left.of("encoder.fc2") == ENCODER.of("encoder.fc2")


@pytest.mark.parametrize("schema", [0, 2, 10**30])
def test_a_plan_of_another_version_is_refused(schema: int) -> None:
    with pytest.raises(RequestError) as refused:
        decode_plan(edited(lambda raw: raw.update(schema=schema)), "recipe.json")
    assert str(refused.value) == f"recipe.json: schema {schema}, this version reads 1; search again"


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda raw: raw.pop("target"), "missing required field `target`"),
        (lambda raw: raw.update(schema="1"), "Expected `int`, got `str`"),
        (lambda raw: raw.update(components={"image_decoder": {}}), "'image_decoder'"),
        (lambda raw: raw.update(components=[]), "Expected `object`, got `array`"),
        (lambda raw: first_layer(raw).update(weights="int3"), "'int3'"),
        (lambda raw: first_layer(raw).update(inputs="int8"), "'int8'"),
        (lambda raw: first_layer(raw).update(layer=None), "got `null`"),
        (lambda raw: raw["components"]["image_encoder"].update(smoothing="much"), "Expected `float`"),
        (lambda raw: raw["components"]["image_encoder"].update(rounding="up"), "'up'"),
        (lambda raw: raw["components"]["image_encoder"].update(compute="fp8"), "'fp8'"),
    ],
    ids=[
        "field missing",
        "version in words",
        "unknown component",
        "no components",
        "weights",
        "inputs",
        "layer without name",
        "smoothing",
        "rounding",
        "compute",
    ],
)
def test_a_plan_that_says_what_none_can_is_refused(change: Callable[[dict[str, Any]], object], wrong: str) -> None:
    with pytest.raises(RequestError) as refused:
        decode_plan(edited(change), "recipe.json")
    text = str(refused.value)
    assert text.startswith("recipe.json: not a recipe of sam-export (")
    assert wrong in text
    assert text.endswith("); give a recipe.json of a bundle")


@pytest.mark.parametrize(
    "text",
    [b"", b"[", b"null", b"[]", b"\xff\xfe", b'{"model": "\xff"}', b'{"schema": 1e999}', b'{"a": ' + b"[" * 200_000],
    ids=["empty", "cut off", "null", "list", "no text", "no UTF-8", "no number", "nested"],
)
def test_text_that_is_no_plan_is_refused(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_bytes(text)
    with pytest.raises(
        RequestError, match=r"not a recipe of sam-export .*; give a recipe\.json of a bundle"
    ) as refused:
        read_plan(path)
    assert str(refused.value).startswith(f"{path}: ")


def test_a_file_of_any_size_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    with path.open("wb") as file:
        file.truncate(2**36)  # a hole: takes no room, and would not fit into memory
    with pytest.raises(RequestError) as refused:
        read_plan(path)
    assert str(refused.value) == f"{path}: larger than {MAX_PLAN_BYTES} bytes; not a recipe of sam-export"


def test_the_largest_file_is_read(tmp_path: Path) -> None:
    path, text = tmp_path / "recipe.json", encode_plan(PLAN)
    path.write_bytes(text + b" " * (MAX_PLAN_BYTES - len(text)))
    assert read_plan(path) == PLAN


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "nowhere.json", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(RequestError) as refused:
            read_plan(path)
        assert str(refused.value) == (f"{path}: the recipe cannot be read ({reason}); give a recipe.json of a bundle")
