"""Graphs from strangers whose hashes agree: each is looked at before an engine sees it, and refused in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from sam_export.contract import GraphContract, Recipe
from sam_export.errors import BundleError, ContractError
from sam_export.optional import import_openvino
from sam_export.runtimes import Segmenter, open_session
from sam_export.verify.mil.ops import HANDLERS
from sam_export.verify.mil.program import load_program

from ..runtimes import geometric_model as model
from ..verify.mil.test_program import small
from .limits import bounded

RECIPE = Recipe("fp32", storage="fp32", compute="fp32")
Spoil = Callable[[onnx.ModelProto], object]


def refused(path: Path, target: str, reason: str, contract: GraphContract = model.ENCODER_CONTRACT) -> None:
    with bounded(str(path)), pytest.raises(BundleError, match=reason) as caught:
        open_session(path, contract, target, RECIPE)
    assert "\n" not in str(caught.value)


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    return model.save_encoder(tmp_path / "image_encoder.onnx")


def weight(**fields: object) -> TensorProto:
    return TensorProto(name="weight", **{"dims": [2], "data_type": 1, **fields})


def beside(location: str, offset: str = "0", length: str = "8") -> TensorProto:
    tensor = weight(data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=value)
    return tensor


def inner_graph() -> onnx.NodeProto:
    body = helper.make_graph([], "body", [], [])
    return helper.make_node("Loop", ["", ""], ["endless"], body=body)


def branches(*nodes: onnx.NodeProto, tensors: Sequence[TensorProto] = ()) -> onnx.NodeProto:
    """Return an If that has them in one of its branches."""
    full, empty = (
        helper.make_graph(list(inside), "branch", [], [], initializer=list(stored))
        for inside, stored in ((nodes, tensors), ((), ()))
    )
    return helper.make_node("If", ["condition"], [], then_branch=full, else_branch=empty)


ABSURD = {
    "a-parent-folder": (beside("../weights.bin"), r"weights in '\.\./weights\.bin', allowed: a file beside"),
    "an-absolute-path": (beside("/etc/hostname"), "weights in '/etc/hostname'"),
    "a-folder-below": (beside("sub/weights.bin"), "weights in 'sub/weights.bin'"),
    "the-engine's-own-memory": (beside("*/_ORT_MEM_ADDR_/*", offset="140000000000"), "ORT_MEM_ADDR"),
    "a-hidden-file": (beside(".weights.bin"), "weights in '.weights.bin'"),
    "no-file": (beside("absent.bin"), "weights in 'absent.bin'"),
    "a-link": (beside("link.bin"), "weights in 'link.bin'"),
    "beyond-the-file": (beside("weights.bin", offset="16"), "8 bytes at 16 with 8 given, in a file of 20"),
    "another-length": (beside("weights.bin", length="4"), "8 bytes at 0 with 4 given"),
    "a-place-that-is-no-number": (beside("weights.bin", offset="-8"), "weights at '-8'"),
    "terabytes": (weight(dims=[2**40], raw_data=bytes(8)), "a tensor of 8 bytes whose shape needs 4398046511104"),
    "less-than-nothing": (weight(dims=[-2], float_data=[1, 2]), "a tensor of -2 in dimension 1"),
    "many-dimensions": (weight(dims=[1] * 17, raw_data=bytes(4)), "rank 16"),
    "two-ways-at-once": (weight(raw_data=bytes(8), float_data=[1, 2]), "whose shape needs"),
    "elements-of-another-type": (weight(int64_data=[1, 2]), "stored as another"),
    "too-few-elements": (weight(float_data=[1]), "a tensor of 1 elements whose shape needs 2"),
    "texts": (weight(data_type=TensorProto.STRING, string_data=[b"a", b"b"]), "a tensor of texts"),
    "an-unknown-type": (weight(data_type=99, raw_data=bytes(8)), "a tensor of type 99"),
}


@pytest.mark.parametrize(("tensor", "reason"), ABSURD.values(), ids=ABSURD)
@pytest.mark.parametrize("place", ["initializer", "attribute", "branch"])
def test_a_tensor_that_is_not_as_large_as_it_says(encoder: Path, place: str, tensor: TensorProto, reason: str) -> None:
    (encoder.parent.parent / "weights.bin").write_bytes(bytes(20))
    (encoder.parent / "weights.bin").write_bytes(bytes(20))
    (encoder.parent / "link.bin").symlink_to("/etc/hostname")
    proto = onnx.load(encoder)
    if place == "initializer":
        proto.graph.initializer.append(tensor)
    elif place == "branch":
        proto.graph.node.append(branches(tensors=[tensor]))
    else:
        proto.graph.node.append(helper.make_node("Constant", [], ["unused"], value=tensor))
    encoder.write_bytes(proto.SerializeToString())
    refused(encoder, "onnx", reason)


GRAPHS: dict[str, tuple[Spoil, str]] = {
    "a-loop": (lambda proto: proto.graph.node.append(inner_graph()), "op 'Loop' with a graph"),
    "a-loop-in-a-branch": (lambda proto: proto.graph.node.append(branches(inner_graph())), "op 'Loop' with a graph"),
    "a-branch-in-a-branch": (lambda proto: proto.graph.node.append(branches(branches())), "op 'If' with a graph"),
    "too-many-branches": (
        lambda proto: proto.graph.node.extend([branches() for _ in range(9)]),
        "18 branches, at most 16 are opened",
    ),
    "a-function": (lambda proto: proto.functions.add(name="f"), "functions or training steps"),
    "a-sparse-tensor": (lambda proto: proto.graph.sparse_initializer.add(dims=[2**40]), "a sparse tensor"),
    "an-op-that-reads-files": (
        lambda proto: proto.graph.node.append(
            helper.make_node("EPContext", [], [], domain="com.microsoft", ep_cache_context="/etc/passwd")
        ),
        "op 'EPContext' of the domain 'com.microsoft'",
    ),
    "no-graph": (lambda proto: proto.ClearField("graph"), "0 graphs, allowed: 1"),
}


@pytest.mark.parametrize(("spoil", "reason"), GRAPHS.values(), ids=GRAPHS)
def test_a_graph_with_more_than_plain_ops(encoder: Path, spoil: Spoil, reason: str) -> None:
    proto = onnx.load(encoder)
    spoil(proto)
    encoder.write_bytes(proto.SerializeToString())
    refused(encoder, "onnx", reason)


def test_what_a_parser_would_merge_is_refused(encoder: Path) -> None:
    """Of each part alone the sizes may be right, of the two together they are not."""
    content = encoder.read_bytes()
    encoder.write_bytes(content + content)
    refused(encoder, "onnx", "2 graphs, allowed: 1")
    proto = onnx.load_from_string(content)
    tensor = weight(raw_data=bytes(8)).SerializeToString() + TensorProto(raw_data=bytes(4)).SerializeToString()
    graph = proto.graph.SerializeToString() + field(5, tensor)
    proto.ClearField("graph")
    encoder.write_bytes(proto.SerializeToString() + field(7, graph))
    refused(encoder, "onnx", "in several parts")


def field(number: int, content: bytes) -> bytes:
    """Return a field of bytes, as protobuf writes it."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def test_a_graph_of_nothing_but_fields_is_given_up_soon(encoder: Path) -> None:
    encoder.write_bytes(field(7, b"\x18\x01" * 2**22))
    refused(encoder, "onnx", "more than 1048576 fields")


def varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def test_a_file_of_the_engine_s_other_format_is_not_taken_for_it(encoder: Path) -> None:
    """By the name alone onnxruntime would read a flatbuffer; nothing here looks into those."""
    other = encoder.rename(encoder.with_suffix(".ort"))
    assert open_session(other, model.ENCODER_CONTRACT, "onnx", RECIPE).report.engine == "onnxruntime"
    other.write_bytes(b"\x18\0\0\0ORTM" + bytes(100))
    refused(other, "onnx", "not a graph that is safe to open")


@pytest.fixture(scope="module")
def decoder_ir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ir")
    openvino = import_openvino(purpose="testing", extra="dev")
    read = openvino.Core().read_model(model.save_decoder(folder / "mask_decoder.onnx"))
    openvino.save_model(read, folder / "mask_decoder.xml", compress_to_fp16=False)
    return folder / "mask_decoder.xml"


@pytest.fixture
def ir(decoder_ir: Path, tmp_path: Path) -> Path:
    for suffix in (".xml", ".bin"):
        shutil.copy(decoder_ir.with_suffix(suffix), tmp_path)
    return tmp_path / decoder_ir.name


ENTITIES = '<!DOCTYPE net [<!ENTITY a "&b;&b;"><!ENTITY b SYSTEM "file:///etc/passwd">]>\n<net '
IRS = {
    "entities": ("<net ", ENTITIES, "a document type"),
    "an-instruction": ("<net ", '<?xml-stylesheet href="a"?><net ', "an instruction"),
    "weights-behind-the-end": ('offset="0"', 'offset="8376"', "at 8376"),
    "weights-before-the-start": ('offset="0"', 'offset="-8"', "'-8' where a whole number belongs"),
    "weights-of-another-size": ('size="8192"', 'size="4"', "8192 bytes at .* with 4 given"),
    "a-weight-of-no-number": ('element_type="f32" shape="', 'element_type="string" shape="', "a constant of type"),
    "terabytes": ('shape="1, 32, 32, 2"', 'shape="1, 1099511627776, 32, 2"', "a constant of"),
    "an-op-nobody-writes": ('type="Minimum" version', 'type="ReadValue" version', "op 'ReadValue' of 'opset1'"),
    "an-op-of-an-extension": (
        'type="Minimum" version="opset1"',
        'type="Minimum" version="extension"',
        "of 'extension'",
    ),
    "a-loop": ("<layers>", "<layers><layer id='900' type='Add' version='opset1'><body>", "an element 'body'"),
    "a-crash-of-openvino-2026.4": (
        'type="Const" version="opset1">',
        'type="Broadcast" version="opset1">',
        "Broadcast of 0 inputs, allowed: 2 to 3",
    ),
    "cut-short": ("</net>", "", "no element found"),
}


@pytest.mark.parametrize(("good", "bad", "reason"), IRS.values(), ids=IRS)
def test_an_ir_that_misleads(ir: Path, good: str, bad: str, reason: str) -> None:
    text = ir.read_text()
    assert good in text
    ir.write_text(text.replace(good, bad, 1))
    refused(ir, "openvino", reason, model.DECODER_CONTRACT)


def test_an_ir_is_an_xml_file_with_weights_of_its_own(ir: Path, encoder: Path, tmp_path: Path) -> None:
    """openvino itself picks a reader by what is in the file, and would follow what another format names."""
    assert open_session(ir, model.DECODER_CONTRACT, "openvino", RECIPE).report.engine == "openvino"
    shutil.copy(ir.with_suffix(".bin"), encoder.with_suffix(".bin"))
    refused(encoder, "openvino", "a file of another kind")
    refused(encoder.rename(encoder.with_suffix(".xml")), "openvino", "not well-formed")
    weights = ir.with_suffix(".bin").rename(tmp_path / "elsewhere")
    ir.with_suffix(".bin").symlink_to(weights)
    refused(ir, "openvino", "a link", model.DECODER_CONTRACT)


def item_of(document: dict[str, dict[str, dict[str, str]]]) -> dict[str, str]:
    return next(iter(document["itemInfoEntries"].values()))


PACKAGES: dict[str, tuple[Callable[..., object], str]] = {
    "a-parent-folder": (lambda doc: item_of(doc).update(path="../../secret"), r"names '\.\./\.\./secret'"),
    "an-absolute-path": (lambda doc: item_of(doc).update(path="/etc/passwd"), "names '/etc/passwd'"),
    "a-url": (lambda doc: item_of(doc).update(path="file:///etc/passwd"), "names 'file"),
    "nothing": (lambda doc: item_of(doc).update(path="absent"), "names 'absent'"),
    "no-model": (lambda doc: doc.update(rootModelIdentifier="nobody"), "names no model"),
    "another-type": (lambda doc: doc.update(itemInfoEntries=[]), "Expected `object`"),
    "a-long-file": (lambda doc: doc.update(note="n" * 2**20), "is larger than"),
}


@pytest.mark.parametrize(("spoil", "reason"), PACKAGES.values(), ids=PACKAGES)
def test_a_package_that_names_what_is_not_in_it(
    tmp_path: Path, spoil: Callable[[dict[str, object]], object], reason: str
) -> None:
    package = small(tmp_path)
    (tmp_path / "secret").write_bytes(b"secret")
    document = json.loads((package / "Manifest.json").read_text())
    spoil(document)
    (package / "Manifest.json").write_text(json.dumps(document))
    with bounded("package"), pytest.raises(BundleError, match=reason):
        load_program(package, HANDLERS)


def test_a_package_with_a_link_in_it(tmp_path: Path) -> None:
    package = small(tmp_path)
    weights = package / "Data" / "com.apple.CoreML" / "weights" / "weight.bin"
    weights.rename(tmp_path / "elsewhere")
    weights.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match=r"'weight\.bin' is a link"):
        load_program(package, HANDLERS)


@pytest.fixture
def decoder(tmp_path: Path) -> Callable[[Spoil], Path]:
    def spoiled(spoil: Spoil) -> Path:
        path = model.save_decoder(tmp_path / "mask_decoder.onnx")
        proto = onnx.load(path)
        spoil(proto)
        path.write_bytes(proto.SerializeToString())
        return path

    return spoiled


def feeds(prompts: int) -> dict[str, np.ndarray]:
    sizes = {"B": prompts, "N": 3}
    return {
        spec.name: np.ones([sizes.get(axis, axis) for axis in spec.shape], np.float32)
        for spec in model.DECODER_CONTRACT.inputs
    }


def before_the_last(*nodes: onnx.NodeProto) -> Spoil:
    """Put nodes before the one that gives `iou_predictions`, and let it take the last one's output."""

    def spoil(proto: onnx.ModelProto) -> None:
        last = proto.graph.node.pop()
        last.input[0] = nodes[-1].output[0]
        proto.graph.node.extend([*nodes, last])

    return spoil


def test_a_graph_that_fails_only_when_it_runs(decoder: Callable[[Spoil], Path]) -> None:
    """It takes the row that `has_mask_input` says, of as many as there are prompts."""
    index = helper.make_node("Cast", ["has_mask_input"], ["index"], to=TensorProto.INT64)
    taken = helper.make_node("Gather", ["zero_column", "index"], ["taken"], axis=0)
    session = open_session(decoder(before_the_last(index, taken)), model.DECODER_CONTRACT, "onnx", RECIPE)
    assert session.run(feeds(2))["iou_predictions"].shape == (2, 4)
    with pytest.raises(ContractError, match="mask_decoder on onnxruntime: the graph fails on this input"):
        session.run(feeds(1))


def test_a_graph_that_gives_other_shapes_than_it_declares(decoder: Callable[[Spoil], Path]) -> None:
    twice = helper.make_node("Concat", ["zero_column", "zero_column"], ["twice"], axis=0)
    session = open_session(decoder(before_the_last(twice)), model.DECODER_CONTRACT, "onnx", RECIPE)
    with pytest.raises(ContractError, match=r"gave iou_predictions of shape \[4, 4\], the contract says \[B, 4\]"):
        session.run(feeds(2))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers_give_no_masks(
    encoder: Path, decoder: Callable[[Spoil], Path], tmp_path: Path, value: float
) -> None:
    """As background, or foreground, everywhere they would pass unseen; embeddings of them are not stored either."""

    def spoil(proto: onnx.ModelProto) -> None:
        found = next(tensor for tensor in proto.graph.initializer if tensor.name == "logit_scale")
        found.CopyFrom(numpy_helper.from_array(np.float32(value), "logit_scale"))

    segmenter = Segmenter(
        {
            "image_encoder": open_session(encoder, model.ENCODER_CONTRACT, "onnx", RECIPE),
            "mask_decoder": open_session(decoder(spoil), model.DECODER_CONTRACT, "onnx", RECIPE),
        },
        model.PREPROCESSING,
        model.MASK_RULE,
    )
    segmenter.set_image(np.zeros((20, 20, 3), np.uint8))
    with pytest.raises(ContractError, match="low_res_masks holds NaN or infinity"):
        segmenter.predict(box=[1, 1, 9, 9])
