"""The comparison of generators, over real processes; upstream's own part needs its environment and is run by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from sam_export.benchmarks.everything import UPSTREAM, Contestant, compare, contestants_of, markdown
from sam_export.benchmarks.everything_run import Options, Request, Result
from sam_export.benchmarks.peer_environment import PEERS, Peer, own_process, peer
from sam_export.errors import ConversionError, RequestError

from ..runtimes.conftest import bundle, graph_folder, picture, segmenter, sessions

__all__ = ["bundle", "graph_folder", "picture", "segmenter", "sessions"]
OPTIONS = Options(points_per_side=8, pred_iou_thresh=0.75, stability_score_thresh=0.0, box_nms_thresh=0.7)
# Stands in upstream's place: this project's own run, of the bundle that the request names as its checkpoint.
STAND_IN = """
import json, subprocess, sys
request = json.load(open(sys.argv[1]))
request["bundle"] = request["checkpoint"]
json.dump(request, open(sys.argv[1], "w"))
module = "sam_export.benchmarks.everything_run"
subprocess.run([sys.executable, "-m", module, sys.argv[1], sys.argv[2]], check=True)
"""


@pytest.fixture
def request_of(bundle: Path, tmp_path: Path) -> Request:
    path = tmp_path / "picture.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    return Request((str(path),), OPTIONS, threads=1, checkpoint=str(bundle), bundle=str(bundle))


@pytest.mark.slow
def test_rows(request_of: Request, tmp_path: Path) -> None:
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN)
    fewer = msgspec.structs.replace(request_of, high_score_thresh=1.5)
    other = msgspec.structs.replace(request_of, options=msgspec.structs.replace(OPTIONS, points_per_side=4))
    contestants = [
        Contestant(UPSTREAM, request_of, None),
        Contestant("same", request_of, UPSTREAM),
        Contestant("same, hierarchical at 1.5", fewer, "same"),
        Contestant("other", other, UPSTREAM),
    ]
    upstream, same, spared, coarser = compare(contestants, 1, Peer(Path(sys.executable), script))
    assert upstream.speedup == 1.0
    assert upstream.masks == same.masks == 64
    assert (same.faithful, same.worst_iou) == (1.0, 1.0)
    # Of 64 points a coarse grid of 2 x 2 goes first; each is sure of the 5 x 5 pixels around it, where no other lies.
    assert (same.points, spared.points, spared.faithful) == (64, 64, 1.0)
    assert (coarser.masks, coarser.faithful) == (16, 0.0)  # a mask of another point is another mask
    assert all(row.peak_bytes > 10_000_000 for row in (upstream, same, spared, coarser))
    assert "| same, hierarchical at 1.5 | 0% | 64 | 64 | 100.0% | 100.0% |" in markdown([same, spared], {})
    text = markdown([upstream, same], {"threads": "1"})
    assert text.count("\n| ") == 2
    assert "100.0%" in text


def test_who_takes_part(request_of: Request) -> None:
    bundles = [Path("a"), Path("b")]
    alone = contestants_of(bundles, request_of, (8.5, 2), None)
    assert [(one.name, one.reference) for one in alone] == [
        ("a", None),
        ("a, hierarchical at 8.5", "a"),
        ("a, hierarchical at 2", "a"),
        ("b", "a"),
        ("b, hierarchical at 8.5", "b"),
        ("b, hierarchical at 2", "b"),
    ]
    assert [one.request.high_score_thresh for one in alone[:3]] == [None, 8.5, 2]
    beside = contestants_of(bundles[:1], request_of, (), request_of)
    assert [(one.name, one.reference) for one in beside] == [(UPSTREAM, None), ("a", UPSTREAM)]


def test_a_process_that_fails_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"everything_run: status 1, .*No such file"):
        own_process("sam_export.benchmarks.everything_run", tmp_path / "none.json", tmp_path / "result.json")


def test_an_unknown_peer(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="run this in a clone"):
        peer("nobody", tmp_path)


def test_upstreams_answer_is_read(tmp_path: Path) -> None:
    # What segment-anything 1.0 gives for one mask, with the keys that are not compared.
    record = {
        "segmentation": {"size": [4, 4], "counts": "52T1"},
        "area": 2,
        "bbox": [1.0, 1.0, 0.0, 1.0],
        "predicted_iou": 0.9,
        "point_coords": [[1.5, 1.5]],
        "stability_score": 0.96,
        "crop_box": [0, 0, 4, 4],
    }
    answer = {"picture": "x.png", "seconds": 1.5, "masks": [record]}
    text = msgspec.json.encode({"engine": "PyTorch", "peak_bytes": 1, "answers": [answer]})
    assert msgspec.json.decode(text, type=Result).answers[0].masks[0].area == 2


def test_the_script_is_where_it_is_looked_for() -> None:
    assert (PEERS / "upstream_everything" / "run.py").is_file()
    assert "segment-anything==1.0" in (PEERS / "upstream_everything" / "requirements.txt").read_text()
