"""The page of a run: one file, nothing fetched, all numbers in it; its plots; what a profile becomes."""

from __future__ import annotations

import dataclasses
import html.parser

import pytest

from sam_export.benchmarks.page import render_page
from sam_export.benchmarks.page_plots import plot_size, plot_speed, plot_steps
from sam_export.benchmarks.roofline import attention_gflop, gflop, layers_of_profile
from sam_export.benchmarks.roofline_runs import by_kind
from sam_export.benchmarks.roofline_tables import kinds_grid, roofline_text
from sam_export.benchmarks.run_record import LayerTime
from sam_export.benchmarks.tables import step_grid
from sam_export.benchmarks.waterfall import chains
from sam_export.search_record import AblationRow, SearchRecord, TryLimits

from .run_samples import sample_run


class Elements(html.parser.HTMLParser):
    """Collects tags, and every attribute that could fetch something."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attributes if name in ("src", "href", "action")]


def test_the_page_stands_alone_and_says_everything() -> None:
    run = sample_run()
    page = render_page(run)
    assert page == render_page(run)
    elements = Elements()
    elements.feed(page)
    assert elements.addresses == []
    assert "script" not in elements.tags
    for text in (
        *(entry.name for entry in run.entries),
        "macOS alone runs Core ML",
        "0.42x",
        "0.9517",
        "GFLOP/s",
        "Chromium 1",
    ):
        assert text in page
    assert "Not a quiet machine" not in page


def test_a_loaded_machine_is_told_on_the_page() -> None:
    run = sample_run()
    loaded = dataclasses.replace(run, disturbance=dataclasses.replace(run.disturbance, foreign_share=0.3))
    assert "Not a quiet machine" in render_page(loaded)


def test_names_are_text_and_never_markup() -> None:
    run = sample_run()
    entry = dataclasses.replace(run.entries[2], name="<script>alert(1)</script>")
    page = render_page(dataclasses.replace(run, entries=(*run.entries[:2], entry)))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_a_run_of_random_weights_has_no_plot_of_accuracy() -> None:
    run = sample_run()
    entries = tuple(dataclasses.replace(one, scores=None, scores_note="random") for one in run.entries)
    untrained = dataclasses.replace(run, entries=entries, rooflines=(), peaks=())
    assert plot_speed(untrained) is None
    assert "What accuracy costs" not in render_page(untrained)


def test_dots_are_numbered_as_the_entries_are() -> None:
    run = sample_run()
    speed, size = plot_speed(run), plot_size(run)
    assert speed is not None
    assert size is not None
    assert speed.numbers == tuple(range(1, 9))
    assert size.numbers == (1, 3, 4, 5, 6, 7, 8)  # PyTorch has no file
    failed = [number for number, dot in zip(speed.numbers, speed.plot.dots, strict=True) if not dot.passed]
    assert [run.entries[number - 1].name for number in failed] == ["quantize_dynamic"]


def test_steps_go_from_the_plain_export_to_the_quantized_graph() -> None:
    run = sample_run()
    known = {chain.engine: chain.steps for chain in chains(run, "encoder")}
    assert [step.entry for step in known["onnxruntime"]] == ["plain", "lite_medsam-onnx-fp32", "lite_medsam-onnx-int8"]
    openvino = known["OpenVINO"]
    assert [step.entry for step in openvino] == [
        "plain_openvino",
        "lite_medsam-openvino-fp32",
        "lite_medsam-openvino-int8",
    ]
    assert openvino[0].gain is None
    assert openvino[1].gain == pytest.approx(0.75 / 0.60, rel=0.01)
    plot = plot_steps(chains(run, "encoder"))
    assert plot is not None
    assert len(plot.bars) == 8
    grid = step_grid(run)
    assert grid is not None
    assert len(grid.rows) == 8


def test_what_techniques_are_worth_is_shown_with_its_own_origin() -> None:
    row = AblationRow("nearest rounding", 0.95, 0.6, 0.8, 0.4, None, 0.4, 10**7)
    record = SearchRecord("image_encoder", "speed", "an engine", 2, TryLimits(0.98, 0.9), ablation=(row,))
    page = render_page(dataclasses.replace(sample_run(), searches={"lite_medsam-onnx-int8": (record,)}))
    assert "nearest rounding" in page
    assert "not of this run" in page
    assert "10.0" in page  # its size in MB


@pytest.mark.parametrize(
    ("op", "inputs", "outputs", "expected"),
    [
        ("Gemm", [[100, 32], [64]], [[100, 64]], 2e-9 * 100 * 64 * 32),
        ("FusedMatMul", [[8, 4, 49, 32], [8, 4, 32, 49]], [[8, 4, 49, 49]], 2e-9 * 8 * 4 * 49 * 49 * 32),
        ("Conv", [[1, 3, 16, 16], [8, 3, 3, 3], [8]], [[1, 8, 16, 16]], 2e-9 * 8 * 256 * 27),
        ("Conv", [[1, 8, 16, 16], [8, 1, 3, 3]], [[1, 8, 16, 16]], 2e-9 * 8 * 256 * 9),
        ("GroupConvolution", [[1, 8, 16, 16], [8, 1, 1, 3, 3]], [[1, 8, 16, 16]], 2e-9 * 8 * 256 * 9),
        ("FullyConnected", [[1, 100, 32], [64, 32]], [[1, 100, 64]], 2e-9 * 100 * 64 * 32),
        ("Softmax", [[8, 49]], [[8, 49]], 0.0),
        ("MatMul", [], [], 0.0),
    ],
    ids=["gemm", "attention", "convolution", "depthwise", "groups first", "openvino", "no product", "nothing told"],
)
def test_work_is_counted_from_shapes(
    op: str, inputs: list[list[int]], outputs: list[list[int]], expected: float
) -> None:
    assert gflop(op, inputs, outputs) == pytest.approx(expected)


@pytest.mark.parametrize("key", [[361, 4, 32, 49], [361, 4, 49, 32]], ids=["transposed", "as it is"])
def test_fused_attention_has_two_products(key: list[int]) -> None:
    inputs = [[361, 4, 49, 32], key, [4, 49, 49], [361, 4, 49, 32]]
    assert attention_gflop(inputs) == pytest.approx(2 * 2e-9 * 361 * 4 * 49 * 49 * 32)


def test_a_profile_becomes_layers() -> None:
    def event(name: str, op: str, microseconds: int, index: str, category: str = "Node") -> dict[str, object]:
        shapes = {
            "input_type_shape": [{"float": [100, 32]}, {"float": [64]}],
            "output_type_shape": [{"float": [100, 64]}],
        }
        return {
            "cat": category,
            "name": name,
            "dur": microseconds,
            "args": {"op_name": op, "node_index": index, **shapes},
        }

    events = [event("fc_kernel_time", "Gemm", micros, "1") for micros in (2000, 1000, 9000)]
    events += [event("gelu_kernel_time", "Gelu", 500, "2"), event("model_run", "Gemm", 9999, "3", "Session")]
    events += [event("fc2_kernel_time", "MatMulIntegerToFloat", 100, "4")]
    gemm, gelu, integer = layers_of_profile(events)
    assert (gemm.name, gemm.milliseconds, gemm.dtype) == ("fc", 2.0, "fp32")  # the median of its runs
    assert gemm.gflop == pytest.approx(2e-9 * 100 * 64 * 32)
    assert (gelu.gflop, integer.dtype) == (0.0, "int8")
    assert [one.op for one in by_kind([gemm, gelu, integer, gemm])] == ["Gemm", "Gelu", "MatMulIntegerToFloat"]


def test_shares_are_of_the_best_product_of_the_same_dtype() -> None:
    run = sample_run()
    roofline = dataclasses.replace(
        run.rooflines[0],
        kinds=(LayerTime("Gemm", "", "fp32", 1, 100.0, 13.0), LayerTime("Gemm", "", "int8", 1, 1.0, 1.0)),
    )
    rows = kinds_grid(run, roofline).rows
    assert rows[0][-1] == "50%"
    assert rows[1][-1] == "–"  # no product of that dtype was measured
    assert "12% of what it takes" in roofline_text(run, roofline)
