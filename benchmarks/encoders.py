"""How long bundles' image encoders take beside the plain export that anyone gets from `torch.onnx.export`.

    python -m sam_export.benchmarks.encoders dist/lite_medsam-onnx-int8 dist/lite_medsam-openvino-int8 --threads 2

All run in one process, turn by turn, on a picture of the size that the encoder takes; what counts is the ratio, round
by round, since a slow spell of the machine hits both. A bundle's time is that of `set_image`, preparing the picture
included. The plain export is of the module in upstream's own form, fp32, opset 17, no passes, on onnxruntime's CPU.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ..contract import EngineOptions, FloatArray
from ..models import SamModel, load
from ..models.components import ImageEncoderComponent
from ..runtimes import open_bundle
from ..runtimes.timing import Samples, measure, paired_ratio

PLAIN = "plain export"
OPSET = 17


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one encoder: median and quartiles; `ratio`: the median of its time by the plain export's."""

    name: str
    engine: str
    median_ms: float
    first_quartile_ms: float
    third_quartile_ms: float
    ratio: float


def time_encoders(bundles: Sequence[Path], *, threads: int, rounds: int, model: SamModel) -> tuple[Timing, ...]:
    """Return the plain export's timing first, then each bundle's.

    Raises:
        BundleError, UnsupportedError, MissingDependencyError: a bundle cannot be opened here.
    """
    height, width = model.variant.preprocessing.image_hw
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    tensor = np.ascontiguousarray(picture.transpose(2, 0, 1)[None]).astype(np.float32)
    with tempfile.TemporaryDirectory(prefix="sam-export-") as folder:
        runs = {PLAIN: _plain(model, Path(folder) / "plain.onnx", tensor, threads)}
        engines = {PLAIN: f"onnxruntime {onnxruntime.__version__}, fp32"}
        for path in bundles:
            segmenter = open_bundle(path, options=EngineOptions(threads=threads))
            report = segmenter.reports["image_encoder"]
            engines[path.name] = f"{report.engine} {report.version.split('-')[0]}, {report.compute_precision}"
            runs[path.name] = partial(segmenter.set_image, picture)
        samples = measure(runs, repeats=rounds)
    return tuple(_timing(name, engines[name], samples) for name in runs)


def _plain(model: SamModel, path: Path, tensor: FloatArray, threads: int) -> Callable[[], object]:
    encoder = ImageEncoderComponent(
        model.module.get_submodule("image_encoder"), model.variant.preprocessing.normalisation
    ).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer calls itself deprecated
        torch.onnx.export(
            encoder, (torch.from_numpy(tensor),), path, dynamo=False, opset_version=OPSET, input_names=["image"]
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"image": tensor})


def _timing(name: str, engine: str, samples: dict[str, Samples]) -> Timing:
    own, plain = samples[name], samples[PLAIN]
    first, third = own.quartiles
    return Timing(name, engine, 1e3 * own.median, 1e3 * first, 1e3 * third, paired_ratio(own, plain))


def _table(timings: Sequence[Timing]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("encoder", "engine"):
        table.add_column(name, overflow="fold")
    for name in ("median ms", "quartiles", "ratio"):
        table.add_column(name, justify="right")
    for one in timings:
        spread = f"{one.first_quartile_ms:.0f} - {one.third_quartile_ms:.0f}"
        table.add_row(one.name, one.engine, f"{one.median_ms:.0f}", spread, f"{one.ratio:.3f}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("bundles", nargs="+", type=Path, metavar="BUNDLE")
    parser.add_argument("--model", default="lite_medsam", help="whose plain export they are compared with")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    timings = time_encoders(given.bundles, threads=given.threads, rounds=given.rounds, model=load(given.model))
    facts = {"threads": given.threads, "rounds": given.rounds, "processor": platform.processor() or platform.machine()}
    console = Console()
    if given.json:
        console.print_json(json.dumps({**facts, "encoders": [asdict(one) for one in timings]}))
        return
    console.print(
        _table(timings), f"{given.rounds} rounds, turn by turn, {given.threads} threads, {facts['processor']}"
    )


if __name__ == "__main__":
    main()
