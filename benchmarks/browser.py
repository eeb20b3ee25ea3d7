"""What a web bundle costs in Chromium, beside the plain export that anyone gets from `torch.onnx.export`.

    python -m sam_export.benchmarks.browser dist/lite_medsam-web --threads 1 2 -o docs/browser

Both run in one page, by the web package in WebAssembly, turn by turn; what counts is the ratio, round by round, since
a slow spell of the machine hits both. `encode` and `click` are the package's calls with all that belongs to them:
decoding and resizing the picture, masks in the picture's size; a click's sample is the fastest of a few. `first mask`
is from the moment that a new page begins to open, with all files in the browser's cache, to the first answer.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image

from ..errors import RequestError
from ..manifest import BundleVariant, Manifest, read_manifest
from ..models import SamModel, load
from ..runtimes.timing import Samples, paired_ratio
from ..verify.pictures import picture_set
from .browser_pages import Contestant, Pages
from .plain_bundle import write_plain_bundle

PLAIN = "plain export"
CLICKS_EACH_ROUND = 3
FIRST_MASKS = 3
ENCODE, CLICK, FIRST = "encode", "click", "first mask"


@dataclass(frozen=True)
class Timing:
    """One thing that was timed: all samples in ms, in order, and the median ratio to the plain export's, by rounds."""

    name: str
    threads: int
    what: str
    milliseconds: tuple[float, ...]
    ratio: float


@dataclass(frozen=True)
class BrowserRun:
    """All of a run. `sizes`: bytes of the graphs by name, as they are and in brotli where that was measured."""

    model: str
    browser: str
    engine: str
    processor: str
    rounds: int
    sizes: dict[str, tuple[int, int | None]]
    timings: tuple[Timing, ...]


def time_in_browser(
    bundle: Path, model: SamModel, *, threads: Sequence[int], rounds: int, variants: Sequence[str] = ()
) -> BrowserRun:
    """Return the timings of a bundle's variants and of the plain export of its model.

    Raises:
        BundleError, RequestError: the bundle cannot be read, or nothing here can run it in a browser.
    """
    manifest = read_manifest(bundle)
    chosen = _chosen(bundle, manifest, variants)
    with tempfile.TemporaryDirectory(prefix="sam-export-") as folder:
        served = Path(folder) / "bundles"
        served.mkdir()
        (served / "bundle").symlink_to(bundle.resolve(), target_is_directory=True)
        plain = write_plain_bundle(model, bundle, served / "plain")
        contestants = [Contestant(PLAIN, "plain", plain.variants[0].name)]
        contestants += [Contestant(one.name, "bundle", one.name) for one in chosen]
        with Pages(served, Path(folder) / "page") as pages:
            timings = [one for count in threads for one in _timed(pages, contestants, count, rounds)]
            browser, engine = pages.browser, pages.engine
    sizes = {PLAIN: (plain.variants[0].bytes, None), **{one.name: (one.bytes, _brotli(one)) for one in chosen}}
    return BrowserRun(manifest.model.model, browser, engine, _processor(), rounds, sizes, tuple(timings))


def _chosen(bundle: Path, manifest: Manifest, names: Sequence[str]) -> list[BundleVariant]:
    fit = [one for one in manifest.variants if {"wasm", "cpu"} & set(one.devices) and (not names or one.name in names)]
    if not fit or set(names) - {one.name for one in fit}:
        listed = ", ".join(f"{one.name} for {' and '.join(one.devices)}" for one in manifest.variants)
        raise RequestError(f"{bundle}: asked for {', '.join(names) or 'any variant'} in WebAssembly, it has: {listed}")
    return fit


def _brotli(variant: BundleVariant) -> int | None:
    sizes = [graph.brotli_bytes for graph in variant.graphs.values() if graph.brotli_bytes is not None]
    return sum(sizes) if len(sizes) == len(variant.graphs) else None


def _timed(pages: Pages, contestants: Sequence[Contestant], threads: int, rounds: int) -> list[Timing]:
    picture, box = _picture()
    taken: dict[tuple[str, str], list[float]] = {}

    def note(one: Contestant, what: str, milliseconds: float) -> None:
        taken.setdefault((one.name, what), []).append(milliseconds)

    page = pages.open()
    for one in contestants:
        page.load(one, threads)  # of no use as a time: the first of all compiles the engine
        page.encode(one, picture)
        page.click(one, box)
    for _ in range(rounds):
        for one in contestants:
            note(one, ENCODE, page.encode(one, picture))
        for one in contestants:
            note(one, CLICK, min(page.click(one, box) for _ in range(CLICKS_EACH_ROUND)))
    page.close()
    for _ in range(FIRST_MASKS):
        for one in contestants:
            with pages.open() as fresh:
                note(one, FIRST, fresh.first_mask(one, threads, picture, box))
    return [_timing(name, threads, what, taken) for name, what in taken]


def _timing(name: str, threads: int, what: str, taken: dict[tuple[str, str], list[float]]) -> Timing:
    own, plain = tuple(taken[name, what]), tuple(taken[PLAIN, what])
    return Timing(name, threads, what, own, paired_ratio(Samples(own), Samples(plain)))


def _picture() -> tuple[bytes, tuple[float, float, float, float]]:
    """Return a picture of the gate's set as PNG, and a box on it."""
    image = picture_set("gate")[0].image
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    height, width = image.shape[:2]
    return stream.getvalue(), (0.25 * width, 0.2 * height, 0.75 * width, 0.8 * height)


def _processor() -> str:
    models = [line for line in _cpuinfo() if line.startswith("model name")]
    name = models[0].partition(":")[2].strip() if models else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.is_file() else []


def markdown(run: BrowserRun) -> str:
    """Return the run as Markdown."""
    lines = [
        f"`{run.model}` in {run.browser}, {run.engine} (WebAssembly), {run.processor}; {run.rounds} rounds, turn by "
        "turn; medians in ms, quartiles in brackets, and the median ratio to the plain export, by rounds.",
        "",
        "| graphs | threads | what | ms | quartiles | ratio |",
        "|---|---:|---|---:|---:|---:|",
    ]
    for one in run.timings:
        samples = Samples(one.milliseconds)
        first, third = samples.quartiles
        cells = (one.name, one.threads, one.what, f"{samples.median:.0f}", f"{first:.0f} - {third:.0f}")
        lines.append(f"| {' | '.join(map(str, cells))} | {one.ratio:.2f}x |")
    lines += ["", "| graphs | MB | MB in brotli |", "|---|---:|---:|"]
    for name, (size, wire) in run.sizes.items():
        lines.append(f"| {name} | {size / 1e6:.1f} | {'not measured' if wire is None else f'{wire / 1e6:.1f}'} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("--variants", nargs="+", default=(), metavar="V", help="of the bundle (all for WebAssembly)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("-o", "--out", type=Path, metavar="STEM", help="writes STEM.json and STEM.md")
    given = parser.parse_args()
    model = load(read_manifest(given.bundle).model.model)
    run = time_in_browser(given.bundle, model, threads=given.threads, rounds=given.rounds, variants=given.variants)
    if given.out is not None:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.with_suffix(".json").write_text(json.dumps(asdict(run), indent=1) + "\n")
        given.out.with_suffix(".md").write_text(markdown(run))
    sys.stdout.write(markdown(run))


if __name__ == "__main__":
    main()
