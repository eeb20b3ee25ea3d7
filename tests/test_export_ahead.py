"""A process that exports ahead gives the graphs that this one would, passes errors on, and leaves nothing behind."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import pytest
from torch import Tensor, nn

from sam_export.contract import Graph
from sam_export.errors import ConversionError, OutputError
from sam_export.export_ahead import ExportAhead, ExportTask, export_parts
from sam_export.exporters import ExportOptions
from sam_export.models import Component, SamModel, components

from .disks import small_disk

pytestmark = pytest.mark.slow

OPTIONS = ExportOptions()
FP32, FP16 = ExportTask("onnx", ("fp32", "fp32")), ExportTask("onnx", ("fp16", "fp16"))


@pytest.fixture
def parts(tiny_sam: SamModel) -> tuple[Component, ...]:
    return components(tiny_sam)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def content(graph: Graph) -> dict[str, bytes]:
    return {file: (graph.path.parent / file).read_bytes() for file in graph.files}


def test_graphs_are_those_of_this_process(parts: tuple[Component, ...], tmp_path: Path, temporary: Path) -> None:
    tasks = (FP32, FP16, ExportTask("coreml", ("fp16", "fp16")))
    with ExportAhead(parts, tasks, OPTIONS) as ahead:
        for task in reversed(tasks):
            found = ahead.result(task)
            own = export_parts(parts, task, OPTIONS, tmp_path / task.label)
            assert [content(graph) for graph in found.graphs] == [content(graph) for graph in own.graphs]
            assert [graph.recipe for graph in found.graphs] == [graph.recipe for graph in own.graphs]
    assert not list(temporary.glob("sam-export-*"))


def test_an_error_concerns_its_own_task(parts: tuple[Component, ...]) -> None:
    """Only fp16 asks which operations must stay fp32."""
    broken = tuple(dataclasses.replace(part, float32_modules=("no_such_module",)) for part in parts)
    with ExportAhead(broken, (FP16, FP32), OPTIONS) as ahead:
        assert len(ahead.result(FP32).graphs) == len(parts)
        with pytest.raises(ConversionError, match="no_such_module"):
            ahead.result(FP16)


class Odd(nn.Module):
    """The process cannot import this file, so that it ends before its first answer."""

    def forward(self, image: Tensor) -> Tensor:
        return image


def test_a_process_that_ends_too_soon(parts: tuple[Component, ...], capfd: pytest.CaptureFixture[str]) -> None:
    unreadable = (dataclasses.replace(parts[0], module=Odd()),)
    with (
        ExportAhead(unreadable, (FP32,), OPTIONS) as ahead,
        pytest.raises(ConversionError, match=r"onnx fp32: .* ended with status 1"),
    ):
        ahead.result(FP32)
    assert "ModuleNotFoundError" in capfd.readouterr().err


def test_a_bug_is_raised_with_its_traceback(parts: tuple[Component, ...]) -> None:
    nonsense = (dataclasses.replace(parts[0], contract=None),)
    with ExportAhead(nonsense, (FP32,), OPTIONS) as ahead, pytest.raises(RuntimeError, match="Traceback"):
        ahead.result(FP32)


def test_a_full_disk_leaves_nothing(
    parts: tuple[Component, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "full", kilobytes=60) as folder:
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        with pytest.raises(OutputError, match=r"no temporary folder .*; free space or set TMPDIR"):
            ExportAhead(parts, (FP32,), OPTIONS).__enter__()
        assert not list(folder.iterdir())


def test_leaving_early_leaves_nothing(parts: tuple[Component, ...], temporary: Path) -> None:
    with ExportAhead(parts, (FP32, FP16), OPTIONS) as ahead:
        ahead.result(FP32)
    assert not list(temporary.iterdir())
    assert ahead._process.returncode is not None
