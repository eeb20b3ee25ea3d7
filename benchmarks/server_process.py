"""A server and the load on it, each in a process of its own, and the server's memory meanwhile."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import msgspec

from ..errors import RequestError
from .load import Attempt, Plan

PROGRAM = "import sys; from sam_export.cli import main; sys.exit(main())"
PATIENCE_S = 120.0
RESIDENT = "process_resident_memory_bytes"


@contextmanager
def served(words: Sequence[str], folder: Path) -> Iterator[str]:
    """Give the address of a server that the command starts; its log goes to `server.log` in the folder.

    Raises:
        RequestError: it does not start; the text is its own.
    """
    log = folder / "server.log"
    command = [sys.executable, *words]
    with log.open("wb") as stream, subprocess.Popen(command, stderr=stream) as process:
        try:
            yield _address(process, log)
        finally:
            process.terminate()


def serve_words(bundle: Path, *options: str) -> list[str]:
    return ["-c", PROGRAM, "serve", str(bundle), "--port", "0", *options]


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text().splitlines():
            if line.startswith("serving "):
                return next(word for word in line.split() if word.startswith("http://")).rstrip("/")
        time.sleep(0.05)
    raise RequestError(f"server: did not start ({log.read_text()[-500:].strip()})")


def run_load(plan: Plan, folder: Path) -> list[Attempt]:
    """Return what a load of another process was made of."""
    file = folder / "plan.json"
    file.write_bytes(msgspec.json.encode(plan))
    words = [sys.executable, "-m", "sam_export.benchmarks.load", str(file)]
    done = subprocess.run(words, stdout=subprocess.PIPE, check=True)
    return msgspec.json.decode(done.stdout, type=list[Attempt])


@dataclass(eq=False)
class MemoryLog:
    """Resident bytes of a server, by the seconds since the log began."""

    seconds: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)

    def add(self, seconds: float, megabytes: float) -> None:
        self.seconds.append(round(seconds, 1))
        self.megabytes.append(round(megabytes, 1))


def memory_mb(url: str) -> float | None:
    """Return the server's resident memory, None if it does not say: it is busy, or no Linux."""
    found = metric(url, RESIDENT)
    return None if found is None else found / 1e6


def metric(url: str, name: str) -> float | None:
    """Return one of the server's numbers, None if it does not say."""
    try:
        text = httpx.get(f"{url}/metrics", timeout=10).text
    except httpx.HTTPError:
        return None
    lines = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(lines[0].split()[1]) if lines else None


@contextmanager
def memory_watched(url: str, every: float) -> Iterator[MemoryLog]:
    """Give the log of the server's memory, written until the end of the `with`."""
    log, over, began = MemoryLog(), threading.Event(), time.perf_counter()

    def watch() -> None:
        while True:
            found = memory_mb(url)
            if found is not None:
                log.add(time.perf_counter() - began, found)
            if over.wait(every):
                return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield log
    finally:
        over.set()
        thread.join()


def seconds_to_answer(url: str, picture: bytes, patience: float = PATIENCE_S) -> float | None:
    """Return how long it takes until a picture that is new to the server is encoded; None if it never is."""
    began = time.perf_counter()
    while time.perf_counter() - began < patience:
        tail = time.time_ns().to_bytes(8, "big")
        try:
            if httpx.post(f"{url}/v1/embeddings", content=picture + tail, timeout=patience).status_code == 200:
                return time.perf_counter() - began
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    return None
