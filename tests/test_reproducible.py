"""Two exports of the same checkpoint give the same bytes, whatever process, folder, hash seed and time they run in."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from sam_export.benchmarks.faults.clock import fake_time
from sam_export.benchmarks.faults.commands import content, differences
from sam_export.benchmarks.faults.run import Place
from sam_export.benchmarks.faults.tiny import NAME, save_checkpoint, save_pictures

pytestmark = pytest.mark.slow

# Under libfaketime an export of all targets took more than ten minutes instead of one, likely since timed waits of the
# engines become years long: it is asked for.
OTHER_DAYS = bool(os.environ.get("SAM_EXPORT_OTHER_DAYS"))
ADDRESS = "https://weights.invalid/tiny.pth"
TARGETS = ("onnx", "openvino", "coreml", "web")


@dataclass(frozen=True)
class Surroundings:
    """What must not matter: names of folders, the seed of Python's hashes, the day, the order of the work."""

    name: str
    hash_seed: str
    years: int
    targets: Sequence[str]


ONE = Surroundings("one", "1", 0, TARGETS)
OTHER = Surroundings("another, with ünicode", "2", 3, TARGETS[::-1])


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("weights") / "tiny.pth")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pictures(tmp_path_factory.mktemp("evaluation") / "pictures", 1)


def export(where: Surroundings, root: Path, checkpoint: Path, words: Sequence[str]) -> Place:
    """Run the command in a fresh process, on a copy of the weights that lies elsewhere."""
    place = Place(root / where.name).make()
    own = shutil.copyfile(checkpoint, place.root / "tiny.pth")
    surroundings = {
        "PYTHONHASHSEED": where.hash_seed,
        "TMPDIR": str(place.temporary),
        "SAM_EXPORT_CACHE": str(place.cache),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        **(fake_time(where.years) if OTHER_DAYS else {}),
    }
    program = [sys.executable, "-m", "sam_export.benchmarks.faults.tiny_cli", str(own), ADDRESS, NAME, *words]
    ended = subprocess.run(
        [*program, "-o", str(place.dist)],
        cwd=place.root,
        env={**os.environ, **surroundings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return place


@pytest.fixture(scope="module")
def exported(weights: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, Place]:
    """All bundles, made by two processes."""
    root = tmp_path_factory.mktemp("exported")
    words = ["--precision", "fp16", "--evaluation", str(pictures)]
    return tuple(export(where, root, weights, ["--target", *where.targets, *words]) for where in (ONE, OTHER))


@pytest.mark.parametrize("target", TARGETS)
def test_fresh_processes_give_the_same_bundles(exported: tuple[Place, Place], target: str) -> None:
    one, other = ({name: found for name, found in content(place).items() if f"-{target}" in name} for place in exported)
    assert len(one) > 5
    assert differences(one, other) == []


@pytest.mark.skipif(not (OTHER_DAYS and fake_time(1)), reason="needs libfaketime and SAM_EXPORT_OTHER_DAYS=1")
def test_the_days_were_not_the_same(exported: tuple[Place, Place]) -> None:
    manifests = [json.loads((place.dist / f"{NAME}-onnx-fp16" / "bundle.json").read_text()) for place in exported]
    assert manifests[0]["created"][:4] < manifests[1]["created"][:4]


def test_a_recipe_gives_the_graphs_that_it_came_from(weights: Path, pictures: Path, tmp_path: Path) -> None:
    """Of a precision that is made anew each time, whoever follows its recipe gets the very same."""
    words = ["--target", "onnx", "--precision", "w8", "--min-iou", "0.9", "--evaluation", str(pictures)]
    words += ["--calibration", str(save_pictures(tmp_path / "calibration", 1, "calibration"))]
    made = export(ONE, tmp_path, weights, words)
    recipe = next(made.dist.glob("*/recipe.json"))
    followed = export(OTHER, tmp_path, weights, [*words, "--recipe", str(recipe)])
    assert differences(content(made), content(followed)) == []
