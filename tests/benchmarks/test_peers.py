"""Peers: the scripts are there and pinned, what they say is believed, and the baseline is upstream's model."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sam_export.benchmarks.contestants import Contestant
from sam_export.benchmarks.machine import Disturbance, ForeignTime, this_machine
from sam_export.benchmarks.peer_environment import PEERS as PEER_FOLDER
from sam_export.benchmarks.peer_environment import PROJECT, Peer, peer
from sam_export.benchmarks.peer_graphs import read_graphs
from sam_export.benchmarks.peer_making import PEERS, Source, _make, one_prompt
from sam_export.benchmarks.peer_sessions import OneByOne
from sam_export.benchmarks.plain_modules import PlainSession, plain_modules
from sam_export.benchmarks.scores import measured_scores, reference_scores
from sam_export.benchmarks.sizes import measured_size
from sam_export.benchmarks.step_graphs import Step, exported_step, folded_and_projected
from sam_export.contract import Array
from sam_export.errors import ConversionError, UnsupportedError
from sam_export.exporters import export
from sam_export.models import SamModel, components
from sam_export.models.components import example_inputs
from sam_export.runtimes.onnxruntime_engine import OnnxRuntimeSession
from sam_export.verify.pictures import picture_set
from sam_export.verify.suite import build_suite
from sam_export.verify.torch_session import torch_sessions


@pytest.mark.parametrize("name", PEERS)
def test_every_peer_is_a_script_with_pinned_requirements(name: str) -> None:
    assert (PEER_FOLDER / name / "run.py").is_file()
    for file in ("requirements.txt", "no-deps.txt"):
        path = PEER_FOLDER / name / file
        lines = path.read_text().splitlines() if path.is_file() else []
        assert all("==" in line for line in lines if not line.startswith("#"))


def test_a_peer_without_requirements_runs_here(tmp_path: Path) -> None:
    assert peer("plain", tmp_path / "none").python == Path(sys.executable)
    assert not (tmp_path / "none").exists()


def test_the_mark_of_peers_that_import_this_project_is_spelled_as_it_is_looked_for() -> None:
    for name in ("upstream_everything", "samexporter"):
        assert PROJECT in (PEER_FOLDER / name / "requirements.txt").read_text().splitlines()


def script(folder: Path, text: str) -> Peer:
    """A script of a known name that stands in the place of a peer's own."""
    path = folder / "quantize_dynamic" / "run.py"
    path.parent.mkdir()
    path.write_text(f"import json, sys\nrequest = json.load(open(sys.argv[1]))\n{text}\n")
    return Peer(Path(sys.executable), path)


def test_a_peer_that_does_not_take_the_model_says_why(tiny_sam: SamModel, tmp_path: Path) -> None:
    refusing = script(tmp_path, "json.dump({'refused': 'it exports other models'}, open(sys.argv[2], 'w'))")
    with pytest.raises(UnsupportedError, match="quantize_dynamic: it exports other models"):
        _make(refusing, Source(tiny_sam, None), None, tmp_path / "out")
    assert not (tmp_path / "out" / "graphs.json").exists()


def test_a_peer_that_fails_is_no_peer(tiny_sam: SamModel, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="no such thing"):
        _make(script(tmp_path, "raise RuntimeError('no such thing')"), Source(tiny_sam, None), None, tmp_path / "out")


def test_what_a_peer_is_given_and_gives(tiny_sam: SamModel, tmp_path: Path) -> None:
    answer = {"made_by": "a test", "engine": "openvino", "files": {"image_encoder": "e.xml", "mask_decoder": "d.xml"}}
    said = script(
        tmp_path,
        f"json.dump(request, open(request['out'] + '/asked.json', 'w')); json.dump({answer!r}, open(sys.argv[2], 'w'))",
    )
    plain = tmp_path / "plain"
    _make(said, Source(tiny_sam, None), plain, tmp_path / "out")
    asked = json.loads((tmp_path / "out" / "asked.json").read_text())
    assert asked["plain"] == {name: str(plain / f"{name}.onnx") for name in ("image_encoder", "mask_decoder")}
    assert asked["seed"] == 7
    graphs = read_graphs(tmp_path / "out")
    assert graphs.file_names == ("e.xml", "d.xml", "e.bin", "d.bin")
    decoder = graphs.contracts["mask_decoder"]
    assert {spec.shape[0] for spec in decoder.inputs} == {1}
    assert graphs.preprocessing == tiny_sam.variant.preprocessing


def test_plain_modules_give_what_the_model_gives(tiny_sam: SamModel) -> None:
    """Upstream's form and the exported one are the same function, for prompts of every kind."""
    modules, own = plain_modules(tiny_sam), torch_sessions(tiny_sam)
    for part in components(tiny_sam):
        name = part.contract.component
        feeds = {
            spec.name: tensor.numpy()
            for spec, tensor in zip(part.contract.inputs, example_inputs(part.contract), strict=True)
        }
        given = PlainSession(*modules[name], compiled=False)
        for output, value in given.run(feeds).items():
            expected = own[name].run(feeds)[output]
            np.testing.assert_allclose(value, expected, atol=1e-4 * np.abs(expected).max())
        assert given.report.device == "eager"


@pytest.mark.parametrize("step", [lambda model: model, folded_and_projected], ids=["exporter", "folded"])
def test_the_steps_to_a_bundle_are_the_same_function(step: Step, tiny_sam: SamModel, tmp_path: Path) -> None:
    answer, own = exported_step(step, tiny_sam, tmp_path, export), torch_sessions(tiny_sam)
    for part in components(tiny_sam):
        contract, name = part.contract, part.contract.component
        session = OnnxRuntimeSession(tmp_path / answer.files[name], contract)
        values = (tensor.numpy() for tensor in example_inputs(contract))
        feeds = dict(zip(contract.input_names, values, strict=True))
        for output, value in session.run(feeds).items():
            expected = own[name].run(feeds)[output]
            np.testing.assert_allclose(value, expected, atol=1e-4 * np.abs(expected).max())


def test_a_step_folds_every_norm_and_leaves_the_model_alone(tiny_sam: SamModel) -> None:
    assert _norms(folded_and_projected(tiny_sam)) == 0 < _norms(tiny_sam)


def _norms(model: SamModel) -> int:
    return sum(isinstance(part, nn.BatchNorm2d) for part in model.module.modules())


def test_a_decoder_of_one_prompt_is_asked_for_each(tiny_sam: SamModel) -> None:
    part = components(tiny_sam)[1]
    contract = part.contract
    feeds = {
        spec.name: tensor.numpy()
        for spec, tensor in zip(contract.inputs, example_inputs(contract, batch=3), strict=True)
    }
    whole = torch_sessions(tiny_sam)["mask_decoder"]
    single = OneAtATime(whole)
    assert one_prompt(contract, "onnxruntime").inputs[-1].shape == (1,)
    assert one_prompt(contract, "onnxruntime").outputs == contract.outputs
    assert all(one.shape[0] == 1 for one in one_prompt(contract, "openvino").outputs)
    answers, expected = OneByOne(single).run(feeds), whole.run(feeds)
    assert single.calls == 3
    for name, value in answers.items():
        np.testing.assert_allclose(value, expected[name], atol=1e-4 * np.abs(expected[name]).max())


class OneAtATime:
    """Refuses more than one prompt, as an export without that axis does."""

    def __init__(self, session: object) -> None:
        self._session, self.calls = session, 0

    @property
    def report(self) -> object:
        return self._session.report

    def run(self, feeds: dict[str, Array]) -> dict[str, Array]:
        assert len(feeds["point_coords"]) == len(feeds["mask_input"]) == 1
        self.calls += 1
        return self._session.run(feeds)


def test_sizes_are_of_all_files_and_never_larger_over_the_wire(tmp_path: Path) -> None:
    (tmp_path / "zeros").write_bytes(bytes(10_000))
    (tmp_path / "noise").write_bytes(np.random.default_rng(0).bytes(10_000))
    size = measured_size(tmp_path / name for name in ("zeros", "noise"))
    assert size.disk_bytes == 20_000
    assert size.wire_bytes is not None
    assert 10_000 <= size.wire_bytes < 10_200


def test_this_machine_says_what_it_is() -> None:
    machine = this_machine()
    assert machine.processor
    assert machine.cores >= 1
    assert machine.memory_gb >= 1


def test_load_is_told_and_widens() -> None:
    quiet, busy, unknown = Disturbance(0.01, 9.0), Disturbance(0.2, 0.0), Disturbance(None, 1000.0)
    assert not quiet.is_loaded
    assert busy.is_loaded
    assert unknown.is_loaded
    assert "middle half" in quiet.sentence()
    assert "20.0 %" in busy.sentence()
    assert "all rounds" in busy.sentence()
    assert "not known" in unknown.sentence()


def test_foreign_time_is_a_share() -> None:
    foreign = ForeignTime()
    foreign.start()
    sum(range(1000))
    foreign.stop(0.0)
    share = foreign.disturbance.foreign_share
    assert share is None or 0.0 <= share <= 1.0


@pytest.mark.slow
def test_accuracy_is_measured_as_the_gate_does(lite_medsam: SamModel) -> None:
    suite = build_suite(lite_medsam, picture_set("gate")[:1])
    eager = Contestant("eager", "pytorch", "", torch.get_num_threads(), model="lite_medsam")
    scores = measured_scores(eager, suite, lambda _stage, _done, _total: None)
    assert scores is not None
    assert scores.worst_iou > 0.9999
    assert scores.passed
    assert scores.prompts == suite.count("stable")
    reference = reference_scores(suite)
    assert reference is not None
    assert reference.mean_iou == 1.0
    assert reference_scores(dataclasses.replace(suite, weights_trained=False)) is None
