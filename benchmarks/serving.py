"""A server under load: latency and throughput by the number of clients, and what happens at ten times its capacity.

    python -m sam_export.benchmarks.serving dist/lite_medsam-onnx-int8 --threads 2 -o out/

Exit status 1 unless the overload goes as it must: every request is answered, with 200 or with a 429 that says when to
come again, in bounded memory, and pictures are encoded meanwhile and right after it.

Server and load run in processes of their own on 127.0.0.1, and share the machine's cores. `encode` sends a picture that
is new to the server each time, `kept` one that it has encoded already, `click` asks for a mask on that one.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import msgspec
from PIL import Image

from ..manifest import read_manifest
from ..verify.pictures import picture_set
from .load import Kind, Outcome, Plan, outcome
from .overload import Overload, overload, overload_text
from .server_process import run_load, serve_words, served

CLIENTS = (1, 8, 64)
KINDS: tuple[Kind, ...] = ("encode", "kept", "click")
CACHE_MB = 64
TOOLS = ("sam-export", "fastapi", "uvicorn", "onnxruntime")


@dataclass(frozen=True)
class ServingReport:
    bundle: str
    checkpoint_sha256: str
    machine: str
    tools: dict[str, str]
    options: tuple[str, ...]
    picture: str
    outcomes: tuple[Outcome, ...]
    overload: Overload


def measure_serving(
    bundle: Path, *, seconds: float, clients: Sequence[int] = CLIENTS, options: Sequence[str] = ()
) -> ServingReport:
    """Return what a server of the bundle does under load.

    Args:
        seconds: of each load.
        options: further words of `sam-export serve`.
    """
    manifest = read_manifest(bundle)
    # As many places as clients, so that a closed load measures the wait and not the refusals; and a cache that is full
    # before the overload, so that the memory of that is its own.
    words = serve_words(bundle, "--queue", str(max(clients)), "--cache-mb", str(CACHE_MB), *options)
    with tempfile.TemporaryDirectory(prefix="sam-export-") as name:
        folder = Path(name)
        picture = save_picture(folder)
        described = picture_words(picture)
        with served(words, folder) as url:
            run_load(Plan(url, "encode", str(picture), seconds=1), folder)  # warm-up
            outcomes = [
                _outcome(Plan(url, kind, str(picture), seconds, clients=count), folder)
                for kind in KINDS
                for count in clients
            ]
            capacity = max(one.a_second for one in outcomes if one.kind == "encode")
            overloaded = overload(url, picture, capacity=capacity, seconds=seconds, folder=folder)
    return ServingReport(
        bundle=bundle.name,
        checkpoint_sha256=manifest.model.checkpoint_sha256,
        machine=f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
        tools={tool: version(tool) for tool in TOOLS},
        options=tuple(words[4:]),
        picture=described,
        outcomes=tuple(outcomes),
        overload=overloaded,
    )


def save_picture(folder: Path) -> Path:
    """Write the photograph that is sent, and return its file."""
    path = folder / "picture.jpg"
    Image.fromarray(picture_set("gate")[0].image).save(path, quality=90)
    return path


def picture_words(path: Path) -> str:
    with Image.open(path) as image:
        return f"JPEG of {image.width}x{image.height} pixels, {path.stat().st_size / 1e3:.0f} kB"


def _outcome(plan: Plan, folder: Path) -> Outcome:
    return outcome(plan, run_load(plan, folder))


def markdown(report: ServingReport) -> str:
    """Return the report as tables."""
    tools = ", ".join(f"{name} {number}" for name, number in report.tools.items())
    command = f"sam-export serve {' '.join(report.options)}"
    lines = [
        f"`{report.bundle}` (checkpoint {report.checkpoint_sha256[:12]}), `{command}`",
        "",
        f"{report.picture}; {report.machine}; {tools}. Server and load share the machine.",
        "",
        "| load | clients | answers a second | p50 ms | p99 ms | longest ms | statuses |",
        "|---|---:|---:|---:|---:|---:|---|",
        *(_row(one.kind, str(one.clients), one) for one in report.outcomes),
        _row(
            f"encode, {report.overload.times}x capacity",
            f"{report.overload.outcome.rate:.0f}/s",
            report.overload.outcome,
        ),
        "",
        overload_text(report.overload),
    ]
    return "\n".join(lines) + "\n"


def _row(name: str, clients: str, found: Outcome) -> str:
    statuses = ", ".join(f"{status}: {count}" for status, count in found.statuses.items())
    numbers = (_number(value) for value in (found.p50_ms, found.p99_ms, found.longest_ms))
    return f"| {name} | {clients} | {found.a_second:.2f} | {' | '.join(numbers)} | {statuses} |"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each load (default: %(default)s)")
    parser.add_argument("--clients", type=int, nargs="+", default=list(CLIENTS), metavar="N")
    parser.add_argument("--threads", default="2")
    parser.add_argument("--engines", default="1")
    parser.add_argument("-o", "--out", type=Path, help="folder for serving.json and serving.md")
    given = parser.parse_args()
    options = ("--threads", given.threads, "--engines", given.engines)
    report = measure_serving(given.bundle, seconds=given.seconds, clients=given.clients, options=options)
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "serving.json").write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
        (given.out / "serving.md").write_text(markdown(report))
    sys.stdout.write(markdown(report))
    return 1 if report.overload.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
