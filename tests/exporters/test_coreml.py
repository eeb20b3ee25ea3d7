"""Core ML packages of the tiny model: what is in the saved program, what it says of itself, and what it computes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sam_export.contract import Graph, GraphContract, PointLabel
from sam_export.errors import ContractError, ConversionError, UnsupportedError
from sam_export.exporters import export
from sam_export.exporters.coreml import CoreMl, read_spec
from sam_export.exporters.coreml_program import (
    DATA_DEPENDENT_OPS,
    Op,
    check_interface,
    check_program,
    describe,
    program_ops,
    upstream,
)
from sam_export.exporters.target import ExportOptions
from sam_export.models import Component, SamModel, components
from sam_export.verify.mil.session import MilSession

pytestmark = pytest.mark.slow

Exported = Callable[..., Graph]
SPECIFICATION_VERSIONS = {16: 7, 17: 8, 18: 9}


@pytest.fixture(scope="session")
def tiny_parts(tiny_sam: SamModel) -> dict[str, Component]:
    return {component.contract.component: component for component in components(tiny_sam)}


@pytest.fixture(scope="session")
def exported(tiny_parts: dict[str, Component], tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Exports each combination once."""
    graphs: dict[tuple[str, str, int], Graph] = {}

    def export(component: str, precision: str = "fp16", minimum_ios: int = 16) -> Graph:
        key = (component, precision, minimum_ios)
        if key not in graphs:
            out = tmp_path_factory.mktemp(f"{precision}-{minimum_ios}")
            graphs[key] = CoreMl().export(tiny_parts[component], precision, out, ExportOptions(minimum_ios))
        return graphs[key]

    return export


def ops_of(graph: Graph) -> tuple[Op, ...]:
    return program_ops(read_spec(graph.path))


def kinds_of(graph: Graph) -> set[str]:
    return {op.kind for op in ops_of(graph)}


def decoder_feeds(
    contract: GraphContract, *, prompts: int, points: int, seed: int = 0
) -> dict[str, np.ndarray[Any, Any]]:
    """Random feeds in which every label and both values of `has_mask_input` occur, given enough of them."""
    random, sizes = np.random.default_rng(seed), {"B": prompts, "N": points}
    shapes = {spec.name: [sizes.get(axis, axis) for axis in spec.shape] for spec in contract.inputs}
    feeds = {name: random.standard_normal(shape) for name, shape in shapes.items()}
    feeds["point_coords"] = random.uniform(0, 64, shapes["point_coords"])
    feeds["point_labels"] = (np.arange(prompts * points).reshape(prompts, points) + seed) % 5 - 1
    feeds["has_mask_input"] = (np.arange(prompts) + seed) % 2
    return {name: feed.astype(np.float32) for name, feed in feeds.items()}


def snr_db(component: Component, graph: Graph, feeds: dict[str, np.ndarray[Any, Any]]) -> float:
    """The lowest signal to noise ratio of any output, evaluated op by op, against the torch module."""
    with torch.no_grad():
        wanted = component.module(*(torch.from_numpy(feeds[name]) for name in component.contract.input_names))
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    found = MilSession(graph.path, component.contract).run(feeds)
    return min(
        10 * np.log10((signal.numpy() ** 2).sum() / ((found[name] - signal.numpy()) ** 2).sum())
        for name, signal in zip(component.contract.output_names, wanted, strict=True)
    )


@pytest.mark.parametrize("minimum_ios", [16, 17, 18])
@pytest.mark.parametrize("component", ["image_encoder", "mask_decoder"])
def test_specification_is_the_oldest_that_serves(exported: Exported, component: str, minimum_ios: int) -> None:
    spec = read_spec(exported(component, minimum_ios=minimum_ios).path)
    assert spec.specificationVersion == SPECIFICATION_VERSIONS[minimum_ios]


def test_encoder_takes_a_picture(exported: Exported) -> None:
    description = read_spec(exported("image_encoder").path).description
    assert [(feature.name, describe(feature)) for feature in description.input] == [("image", "RGB image 64x64")]
    assert [(feature.name, describe(feature)) for feature in description.output] == [
        ("image_embeddings", "float32 [1, 32, 16, 16]")
    ]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_decoder_takes_any_number_of_prompts_and_points(exported: Exported, precision: str) -> None:
    description = read_spec(exported("mask_decoder", precision).path).description
    assert [(feature.name, describe(feature)) for feature in description.input] == [
        ("image_embeddings", "float32 [1, 32, 16, 16]"),
        ("point_coords", "float32 [1..64, 1..256, 2]"),
        ("point_labels", "float32 [1..64, 1..256]"),
        ("mask_input", "float32 [1..64, 1, 64, 64]"),
        ("has_mask_input", "float32 [1..64]"),
    ]
    assert [feature.name for feature in description.output] == ["low_res_masks", "iou_predictions"]


def test_recipe_says_sizes_and_exceptions(exported: Exported, tiny_parts: dict[str, Component]) -> None:
    recipe = exported("mask_decoder").recipe
    assert recipe.notes == ("iOS 16 or later", "B from 1 to 64", "N from 1 to 256")
    assert tuple(choice.pattern for choice in recipe.layers) == tiny_parts["mask_decoder"].float32_modules
    assert exported("mask_decoder", "fp32").recipe.layers == ()


@pytest.mark.parametrize("minimum_ios", [16, 17, 18])
@pytest.mark.parametrize("component", ["image_encoder", "mask_decoder"])
def test_ops_are_static_and_of_low_rank(exported: Exported, component: str, minimum_ios: int) -> None:
    ops = ops_of(exported(component, minimum_ios=minimum_ios))
    assert not {op.kind for op in ops} & DATA_DEPENDENT_OPS
    assert max(len(output.shape) for op in ops for output in op.outputs) <= 4


@pytest.mark.parametrize("component", ["image_encoder", "mask_decoder"])
def test_attention_is_fused_where_ios_can(exported: Exported, component: str) -> None:
    fused = "scaled_dot_product_attention"
    assert "softmax" in kinds_of(exported(component, minimum_ios=17)) - {fused}
    kinds = kinds_of(exported(component, minimum_ios=18))
    assert fused in kinds
    # Between tokens and cells a decoder attends in a form of its own.
    assert ("softmax" in kinds) == (component == "mask_decoder")


def test_sizes_inside_the_decoder_stay_known(exported: Exported) -> None:
    """Only B, N and what follows from them are flexible: the width of every token is known."""
    widths = [op.outputs[0].shape[-1] for op in ops_of(exported("mask_decoder")) if op.kind in ("linear", "layer_norm")]
    assert len(widths) > 40
    assert None not in widths
    tiles = [op for op in ops_of(exported("mask_decoder")) if op.kind == "tile"]
    assert [tile.outputs[0].shape[1:] for tile in tiles] == [(5, 32)]


@pytest.mark.parametrize("minimum_ios", [16, 17, 18])
def test_positional_encoding_stays_float32(exported: Exported, minimum_ios: int) -> None:
    chain = upstream(ops_of(exported("mask_decoder", minimum_ios=minimum_ios)), ("sin", "cos"))
    assert {"sin", "cos", "linear", "add", "sub", "mul"} - {op.kind for op in chain} <= {"linear"}
    assert {output.dtype for op in chain for output in op.outputs if output.dtype} == {"float32"}


def test_the_rest_of_the_decoder_is_float16(exported: Exported) -> None:
    linears = [op.outputs[0].dtype for op in ops_of(exported("mask_decoder")) if op.kind == "layer_norm"]
    assert set(linears) == {"float16"}


def test_normalisation_stays_float32(exported: Exported) -> None:
    reductions = [op.outputs[0].dtype for op in ops_of(exported("image_encoder")) if op.kind.startswith("reduce_m")]
    assert reductions == ["float32", "float32"]


@pytest.mark.parametrize("minimum_ios", [16, 18])
def test_attention_biases_are_looked_up(exported: Exported, minimum_ios: int) -> None:
    """Each block looks its bias up, and blocks of one window size share the offsets."""
    lookups = [op for op in ops_of(exported("image_encoder", minimum_ios=minimum_ios)) if op.kind == "gather"]
    assert [op.outputs[0].shape for op in lookups] == [(1, 49, 49), (2, 196, 196), (2, 49, 49)]
    offsets = [next(name for name in op.inputs if "idxs" in name) for op in lookups]
    assert offsets[0] == offsets[2] != offsets[1]


def test_no_constant_is_an_expanded_bias(exported: Exported) -> None:
    constants = [op.outputs[0] for op in ops_of(exported("image_encoder")) if op.kind == "const"]
    assert not [constant for constant in constants if constant.shape[-2:] == (196, 196) and constant.dtype]


def test_package_describes_itself(exported: Exported, tiny_parts: dict[str, Component]) -> None:
    description = read_spec(exported("mask_decoder").path).description
    contract = tiny_parts["mask_decoder"].contract
    meanings = {spec.name: spec.meaning for spec in (*contract.inputs, *contract.outputs)}
    features = (*description.input, *description.output)
    assert {feature.name: feature.shortDescription for feature in features} == meanings
    metadata = description.metadata
    assert metadata.shortDescription == "Segment Anything, mask decoder of tiny_sam"
    assert metadata.userDefined["sam_export.precision"] == "fp16"
    assert metadata.userDefined["sam_export.tools.torch"] == torch.__version__
    assert not [key for key in metadata.userDefined if "date" in key]


def test_graph_lists_every_file(exported: Exported) -> None:
    graph = exported("image_encoder")
    assert graph.path.name == "image_encoder.mlpackage"
    assert graph.files == (
        "image_encoder.mlpackage/Data/com.apple.CoreML/model.mlmodel",
        "image_encoder.mlpackage/Data/com.apple.CoreML/weights/weight.bin",
        "image_encoder.mlpackage/Manifest.json",
    )
    assert all((graph.path.parent / file).is_file() for file in graph.files)


def test_exports_are_equal_byte_by_byte(exported: Exported, tiny_parts: dict[str, Component], tmp_path: Path) -> None:
    first = exported("mask_decoder")
    again = CoreMl().export(tiny_parts["mask_decoder"], "fp16", tmp_path, ExportOptions())
    assert again.files == first.files
    for file in first.files:
        assert (tmp_path / file).read_bytes() == (first.path.parent / file).read_bytes(), file


def test_a_shared_trace_changes_no_byte(exported: Exported, tiny_parts: dict[str, Component], tmp_path: Path) -> None:
    """fp32 and fp16 start from one torch.export; a copy of the component is traced for itself."""
    exported("mask_decoder", "fp32")
    shared = exported("mask_decoder", "fp16")
    CoreMl().export(dataclasses.replace(tiny_parts["mask_decoder"]), "fp16", tmp_path, ExportOptions())
    for file in shared.files:
        assert (tmp_path / file).read_bytes() == (shared.path.parent / file).read_bytes(), file


def test_exporting_leaves_the_module_untouched(exported: Exported, tiny_parts: dict[str, Component]) -> None:
    before = {name: value.clone() for name, value in tiny_parts["image_encoder"].module.state_dict().items()}
    exported("image_encoder")
    after = tiny_parts["image_encoder"].module.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(("precision", "limit_db"), [("fp32", 80), ("fp16", 35)])
@pytest.mark.parametrize("minimum_ios", [16, 17, 18])
def test_encoder_computes_the_same(
    exported: Exported, tiny_parts: dict[str, Component], precision: str, limit_db: float, minimum_ios: int
) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (1, 3, 64, 64)).astype(np.float32)
    graph = exported("image_encoder", precision, minimum_ios)
    assert snr_db(tiny_parts["image_encoder"], graph, {"image": picture}) > limit_db


def test_constant_picture_gives_numbers(exported: Exported, tiny_parts: dict[str, Component]) -> None:
    picture = np.full((1, 3, 64, 64), 128, np.float32)
    assert snr_db(tiny_parts["image_encoder"], exported("image_encoder"), {"image": picture}) > 35


@pytest.mark.parametrize(("precision", "limit_db"), [("fp32", 80), ("fp16", 35)])
@pytest.mark.parametrize("points", [1, 2, 5])
@pytest.mark.parametrize("prompts", [1, 3])
def test_decoder_computes_the_same(
    exported: Exported, tiny_parts: dict[str, Component], precision: str, limit_db: float, prompts: int, points: int
) -> None:
    component, graph = tiny_parts["mask_decoder"], exported("mask_decoder", precision)
    feeds = decoder_feeds(component.contract, prompts=prompts, points=points)
    assert snr_db(component, graph, feeds) > limit_db


@pytest.mark.parametrize("minimum_ios", [17, 18])
def test_newer_decoders_compute_the_same(
    exported: Exported, tiny_parts: dict[str, Component], minimum_ios: int
) -> None:
    component, graph = tiny_parts["mask_decoder"], exported("mask_decoder", minimum_ios=minimum_ios)
    assert snr_db(component, graph, decoder_feeds(component.contract, prompts=3, points=5)) > 35


@pytest.mark.parametrize("has_mask", [0.0, 1.0])
@pytest.mark.parametrize("label", PointLabel, ids=lambda label: label.name.lower())
def test_every_label_means_the_same(
    exported: Exported, tiny_parts: dict[str, Component], label: PointLabel, has_mask: float
) -> None:
    component = tiny_parts["mask_decoder"]
    feeds = decoder_feeds(component.contract, prompts=1, points=2, seed=3)
    feeds |= {"point_labels": np.full((1, 2), label, np.float32), "has_mask_input": np.array([has_mask], np.float32)}
    assert snr_db(component, exported("mask_decoder", "fp32"), feeds) > 80


@pytest.mark.parametrize(("precision", "minimum_ios", "text"), [("w4", 16, "fp32, fp16"), ("fp16", 15, "16, 17, 18")])
def test_unknown_requests_name_the_choices(
    tiny_parts: dict[str, Component], tmp_path: Path, precision: str, minimum_ios: int, text: str
) -> None:
    with pytest.raises(UnsupportedError, match=text):
        export(tiny_parts["mask_decoder"], "coreml", precision, tmp_path, ExportOptions(minimum_ios))
    assert not list(tmp_path.iterdir())


def test_phases_in_float16_are_refused(exported: Exported) -> None:
    spec = read_spec(exported("mask_decoder").path)
    (block,) = spec.mlProgram.functions["main"].block_specializations.values()
    sine = next(operation for operation in block.operations if operation.type == "sin")
    linear = next(operation for operation in block.operations if operation.type == "layer_norm")
    sine.outputs[0].type.CopyFrom(linear.outputs[0].type)
    with pytest.raises(ConversionError, match="positional encoding must be computed in fp32"):
        check_program("mask_decoder", spec, periodic_in_float32=True)


def test_missing_phases_are_refused(exported: Exported) -> None:
    with pytest.raises(ConversionError, match="sin and cos are missing"):
        check_program("image_encoder", read_spec(exported("image_encoder").path), periodic_in_float32=True)


def test_data_dependent_ops_are_refused(exported: Exported) -> None:
    spec = read_spec(exported("mask_decoder").path)
    (block,) = spec.mlProgram.functions["main"].block_specializations.values()
    next(operation for operation in block.operations if operation.type == "sin").type = "non_zero"
    with pytest.raises(ConversionError, match="non_zero"):
        check_program("mask_decoder", spec, periodic_in_float32=False)


def test_another_contract_is_refused(exported: Exported, tiny_parts: dict[str, Component]) -> None:
    contract = tiny_parts["image_encoder"].contract
    embeddings = dataclasses.replace(contract.outputs[0], shape=(1, 32, 8, 8))
    with pytest.raises(ContractError, match=r"image_embeddings is float32 \[1, 32, 16, 16\]"):
        check_interface(
            "image_encoder",
            read_spec(exported("image_encoder").path),
            dataclasses.replace(contract, outputs=(embeddings,)),
        )


class Inverse(torch.nn.Module):
    """Uses an op that Core ML does not have."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.linalg.svdvals(image)


class Unsupported(torch.nn.Module):
    """A mask decoder with an op that Core ML does not have."""

    def forward(
        self,
        image_embeddings: torch.Tensor,
        point_coords: torch.Tensor,
        point_labels: torch.Tensor,
        mask_input: torch.Tensor,
        has_mask_input: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        masks = torch.linalg.svdvals(mask_input) + image_embeddings.sum() + has_mask_input.sum()
        return masks, point_coords.sum(-1) + point_labels


def test_converter_failure_is_one_line(tiny_parts: dict[str, Component], tmp_path: Path) -> None:
    broken = dataclasses.replace(tiny_parts["image_encoder"], module=Inverse())
    with pytest.raises(ConversionError) as caught:
        CoreMl().export(broken, "fp32", tmp_path, ExportOptions())
    assert caught.value.__cause__ is not None
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_failed_conversion_does_not_stop_the_next(tiny_parts: dict[str, Component], tmp_path: Path) -> None:
    component = tiny_parts["mask_decoder"]
    with pytest.raises(ConversionError):
        CoreMl().export(dataclasses.replace(component, module=Unsupported()), "fp32", tmp_path, ExportOptions())
    assert CoreMl().export(component, "fp32", tmp_path, ExportOptions()).path.exists()


@pytest.mark.slow
def test_lite_medsam_is_no_larger_than_its_weights(lite_medsam: SamModel, tmp_path: Path) -> None:
    for component in components(lite_medsam):
        graph = CoreMl().export(component, "fp16", tmp_path, ExportOptions())
        weights = 2 * sum(parameter.numel() for parameter in component.module.parameters())
        assert sum((tmp_path / file).stat().st_size for file in graph.files) < 1.04 * weights
        if component.contract.component == "mask_decoder":
            feeds = decoder_feeds(component.contract, prompts=2, points=2)
            assert snr_db(component, graph, feeds) > 35
