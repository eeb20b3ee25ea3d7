"""What a web bundle costs in Chromium, beside the plain export that anyone gets from `torch.onnx.export`.

    python -m sam_export.benchmarks.browser dist/lite_medsam-web --threads 1 2 -o docs/browser

Bundles of one model, as of two recipes, are timed beside one another: give them all. All run in one page, by the web
package in WebAssembly, turn by turn; what counts is the ratio, round by round, since a slow spell of the machine hits
all. `encode` and `click` are the package's calls with all that belongs to them: decoding and resizing the picture,
masks in the picture's size; a click's sample is the fastest of a few. `first mask` is from the moment that a new page
begins to open, with all files in the browser's cache, to the first answer.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image

from ..errors import NotVerifiableError, RequestError
from ..manifest import BundleVariant, Manifest, read_manifest
from ..models import SamModel, load
from ..runtimes.timing import Samples, paired_ratio
from ..verify.pictures import picture_set
from .browser_pages import Contestant, Pages
from .browser_record import BrowserGraphs, BrowserRun, BrowserTiming, grids
from .grid import table
from .machine import this_machine
from .plain_bundle import write_plain_bundle
from .run_record import Absent

PAGE = """# A web bundle in the browser, beside the plain export

Made by `python -m sam_export.benchmarks.browser {bundle} --threads {threads} -o docs/browser`; all samples are in \
`{samples}`. Each line is a variant of a bundle, run by the web package in WebAssembly; the plain export is what \
`torch.onnx.export` gives for the same weights, run by the same package in the same page, turn by turn. What counts is \
the ratio, round by round, since a slow spell of the machine hits both.

- *encode*: from the picture's file to its embedding, with decoding and resizing.
- *click*: a box, and its mask in the picture's size; a sample is the fastest of {clicks}.
- *first mask*: from the moment that a new page begins to open, all files in the browser's cache, to its first mask.

"""
Progress = Callable[[str, int, int], None]
PLAIN = "plain export"
CLICKS_EACH_ROUND = 3
FIRST_MASKS = 3
ENCODE, CLICK, FIRST = "encode", "click", "first mask"


def time_in_browser(
    bundles: Sequence[Path], model: SamModel, *, threads: Sequence[int], rounds: int, variants: Sequence[str] = ()
) -> BrowserRun:
    """Return the timings of the variants of some bundles, and of the plain export of their model.

    Raises:
        BundleError, RequestError: a bundle cannot be read or is another model's, or nothing here runs it in a browser.
    """
    entered = _entered(bundles, variants)
    with tempfile.TemporaryDirectory(prefix="sam-export-") as folder:
        served = Path(folder) / "bundles"
        served.mkdir()
        for number, bundle in enumerate(bundles):
            (served / f"bundle{number}").symlink_to(bundle.resolve(), target_is_directory=True)
        plain = write_plain_bundle(model, bundles[0], served / "plain")
        contestants = [Contestant(PLAIN, "plain", plain.variants[0].name)]
        contestants += [Contestant(one.label, f"bundle{one.bundle}", one.variant.name) for one in entered]
        with Pages(served, Path(folder) / "page") as pages:
            timings = [one for count in threads for one in _timed(pages, contestants, count, rounds)]
            browser, engine = pages.browser, pages.engine
    graphs = (BrowserGraphs(PLAIN, plain.variants[0].bytes), *(_graphs(one) for one in entered))
    name, processor = ", ".join(bundle.resolve().name for bundle in bundles), this_machine().processor
    return BrowserRun(name, plain.model.model, browser, engine, processor, rounds, graphs, tuple(timings))


def time_each_in_browser(
    bundles: Sequence[Path], model: SamModel, threads: Sequence[int], rounds: int, progress: Progress
) -> tuple[tuple[BrowserRun, ...], tuple[Absent, ...]]:
    """Return what bundles of one model take in Chromium, and those that nothing here can run there."""
    found, absent = [], []
    for done, bundle in enumerate(bundles):
        progress(f"{bundle.resolve().name} in Chromium", done, len(bundles))
        try:
            found.append(time_in_browser([bundle], model, threads=threads, rounds=rounds))
        except (RequestError, NotVerifiableError) as exc:
            absent.append(Absent(bundle.resolve().name, str(exc), asked=True))
    return tuple(found), tuple(absent)


@dataclass(frozen=True)
class Entered:
    """A variant that is timed. `bundle`: the number of its bundle; `label`: what tables call it."""

    bundle: int
    variant: BundleVariant
    label: str


def _entered(bundles: Sequence[Path], names: Sequence[str]) -> tuple[Entered, ...]:
    manifests = [read_manifest(bundle) for bundle in bundles]
    for bundle, manifest in zip(bundles, manifests, strict=True):
        if manifest.model != manifests[0].model:
            raise RequestError(f"{bundle}: not of the model of {bundles[0]}; time it in a run of its own")
    chosen = [_chosen(*one, names) for one in zip(bundles, manifests, strict=True)]
    count = Counter(variant.name for variants in chosen for variant in variants)
    return tuple(
        Entered(number, one, one.name if count[one.name] == 1 else f"{bundles[number]}: {one.name}")
        for number, variants in enumerate(chosen)
        for one in variants
    )


def _chosen(bundle: Path, manifest: Manifest, names: Sequence[str]) -> list[BundleVariant]:
    fit = [one for one in manifest.variants if {"wasm", "cpu"} & set(one.devices) and (not names or one.name in names)]
    if not fit:
        listed = ", ".join(f"{one.name} for {' and '.join(one.devices)}" for one in manifest.variants)
        raise RequestError(f"{bundle}: asked for {', '.join(names) or 'any variant'} in WebAssembly, it has: {listed}")
    return fit


def _graphs(entered: Entered) -> BrowserGraphs:
    variant, stable = entered.variant, entered.variant.accuracy.stable
    scores = (None, None) if stable is None else (stable.mean_iou, stable.worst_iou)
    return BrowserGraphs(entered.label, variant.bytes, _brotli(variant), *scores)


def _brotli(variant: BundleVariant) -> int | None:
    sizes = [graph.brotli_bytes for graph in variant.graphs.values() if graph.brotli_bytes is not None]
    return sum(sizes) if len(sizes) == len(variant.graphs) else None


def _timed(pages: Pages, contestants: Sequence[Contestant], threads: int, rounds: int) -> list[BrowserTiming]:
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


def _timing(name: str, threads: int, what: str, taken: dict[tuple[str, str], list[float]]) -> BrowserTiming:
    own, plain = tuple(taken[name, what]), tuple(taken[PLAIN, what])
    return BrowserTiming(name, threads, what, own, paired_ratio(Samples(own), Samples(plain)))


def _picture() -> tuple[bytes, tuple[float, float, float, float]]:
    """Return a picture of the gate's set as PNG, and a box on it."""
    image = picture_set("gate")[0].image
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    height, width = image.shape[:2]
    return stream.getvalue(), (0.25 * width, 0.2 * height, 0.75 * width, 0.8 * height)


def markdown(run: BrowserRun) -> str:
    """Return the run as Markdown."""
    return "\n\n".join("\n".join((one.caption, "", *table(one.head, one.rows))) for one in grids(run)) + "\n"


def page(run: BrowserRun, samples: str) -> str:
    """Return the run as a page of the documentation; `samples`: the file beside it that has them all."""
    threads = " ".join(str(count) for count in dict.fromkeys(one.threads for one in run.timings))
    head = PAGE.format(bundle=run.bundle.replace(",", ""), threads=threads, samples=samples, clicks=CLICKS_EACH_ROUND)
    return head + markdown(run)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("bundle", type=Path, nargs="+", metavar="BUNDLE", help="of one model, timed turn by turn")
    parser.add_argument("--variants", nargs="+", default=(), metavar="V", help="of each bundle (all for WebAssembly)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("-o", "--out", type=Path, metavar="STEM", help="writes STEM.json and STEM.md")
    given = parser.parse_args()
    model = load(read_manifest(given.bundle[0]).model.model)
    run = time_in_browser(given.bundle, model, threads=given.threads, rounds=given.rounds, variants=given.variants)
    if given.out is not None:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        samples = given.out.with_suffix(".json")
        samples.write_text(json.dumps(asdict(run), indent=1) + "\n")
        given.out.with_suffix(".md").write_text(page(run, samples.name))
    sys.stdout.write(markdown(run))


if __name__ == "__main__":
    main()
