"""A run as it might have been measured: enough to test what is made of one."""

from __future__ import annotations

from sam_export.benchmarks.browser import CLICK, PLAIN
from sam_export.benchmarks.browser_record import BrowserGraphs, BrowserRun, BrowserTiming
from sam_export.benchmarks.machine import Disturbance, Machine
from sam_export.benchmarks.run_record import (
    SCHEMA_VERSION,
    STAGES,
    Absent,
    Entry,
    Kind,
    LayerTime,
    Opening,
    Peak,
    Request,
    Roofline,
    Run,
    Scores,
    Size,
)
from sam_export.contract import EngineReport
from sam_export.runtimes.timing import Samples

BROWSER_RUN = BrowserRun(
    bundle="lite_medsam-web",
    model="lite_medsam",
    browser="Chromium 1",
    engine="onnxruntime-web 1",
    processor="a processor",
    rounds=3,
    graphs=(BrowserGraphs(PLAIN, 2_000_000), BrowserGraphs("int8", 1_000_000, 900_000, 0.9926, 0.9857)),
    timings=(
        BrowserTiming(PLAIN, 1, CLICK, (10.0, 12.0, 11.0), 1.0),
        BrowserTiming("int8", 1, CLICK, (5.0, 6.0, 5.5), 0.5),
    ),
)
PLAIN_SECONDS = (0.500, 0.510, 0.505, 0.498, 0.560)


def sample_run() -> Run:
    return Run(
        schema=SCHEMA_VERSION,
        created="2026-01-01T00:00:00+00:00",
        model="lite_medsam",
        checkpoint_sha256="0" * 64,
        machine=Machine("a processor", ("avx2", "avx512_bf16"), 2, 24, "Linux", "x86_64"),
        disturbance=Disturbance(0.01, 0.1),
        tools={"onnxruntime": "1.0", "openvino": "2.0"},
        request=Request(2, 5, 2, quick=False, picture="coffee", picture_hw=(400, 600), points_per_side=8),
        baseline="plain",
        stages=STAGES,
        entries=(
            _entry("plain", "peer", 1.0, "onnxruntime", worst=0.9999, megabytes=44),
            _entry("PyTorch eager", "pytorch", 2.7, "PyTorch", worst=1.0, megabytes=None),
            _entry("lite_medsam-onnx-fp32", "bundle", 0.85, "onnxruntime", worst=0.9999, megabytes=40),
            _entry("lite_medsam-onnx-int8", "bundle", 0.65, "onnxruntime", worst=0.9716, megabytes=12),
            _entry("quantize_dynamic", "peer", 0.9, "onnxruntime", worst=0.443, megabytes=11, passed=False),
            _entry("plain_openvino", "peer", 0.75, "openvino", worst=0.9999, megabytes=44),
            _entry("lite_medsam-openvino-fp32", "bundle", 0.6, "openvino", worst=0.9999, megabytes=40),
            _entry("lite_medsam-openvino-int8", "bundle", 0.42, "openvino", worst=0.9517, megabytes=12),
        ),
        absent=(Absent("lite_medsam-coreml-fp16", "macOS alone runs Core ML", asked=True),),
        rooflines=(
            Roofline(
                "lite_medsam-onnx-fp32",
                "onnxruntime",
                430.0,
                (
                    LayerTime("Gemm", "", "fp32", 60, 230.0, 48.0),
                    LayerTime("Conv", "", "fp32", 20, 100.0, 22.0),
                    LayerTime("Gelu", "", "fp32", 20, 60.0, 0.0),
                ),
                (
                    LayerTime("Gemm", "layers.1.mlp.fc1", "fp32", 1, 20.0, 4.0),
                    LayerTime("Conv", "neck.0", "fp32", 1, 12.0, 2.0),
                ),
            ),
        ),
        peaks=(Peak("fp32", 260.0, "MatMul of 1024 x 1024 in onnxruntime"),),
        browsers=(BROWSER_RUN,),
    )


def _entry(
    name: str, kind: Kind, ratio: float, engine: str, *, worst: float, megabytes: int | None, passed: bool | None = True
) -> Entry:
    report = EngineReport(engine, "1.0", "CPU", "fp32", 2, {"intra_op_num_threads": "2"})
    size = None if megabytes is None else Size(megabytes * 10**6, megabytes * 9 * 10**5)
    samples = Samples(tuple(ratio * one for one in PLAIN_SECONDS), (1.0, 0.6))
    # A round that the machine was slow in for this one alone, so that intervals have a width.
    jittered = Samples((*samples.seconds[:-2], 1.1 * samples.seconds[-2], 0.95 * samples.seconds[-1]), samples.warmups)
    return Entry(
        name=name,
        kind=kind,
        what=f"{name}, as it is",
        target=engine.replace("runtime", "") if kind == "bundle" else "",
        precision=name.rpartition("-")[2] if kind == "bundle" else "",
        engines={"image_encoder": report, "mask_decoder": report},
        size=size,
        scores=Scores(
            min(1.0, worst + 0.02), worst, worst, worst, 115, 21, engine, "measured in this run", passed=passed
        ),
        scores_note="",
        openings=(Opening(0.2, 0.3, 0.4, 300_000_000),),
        stages={stage.name: samples if name == "plain" else jittered for stage in STAGES},
    )
