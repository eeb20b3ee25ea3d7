"""Environments of their own for what bundles are compared with: made once, from pinned requirements, used by name."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConversionError, RequestError

PEERS = Path(__file__).parent / "peers"
ROOT = Path(__file__).parents[1]
# Where a line of its requirements is this, a peer imports this project, too.
PROJECT = "# with this project"


@dataclass(frozen=True)
class Peer:
    """A script and the interpreter that it runs in."""

    python: Path
    script: Path

    def run(self, request: Path, result: Path) -> None:
        """Run the script on a request.

        Raises:
            ConversionError: it failed; the text is its last line.
        """
        run_process([str(self.python), str(self.script), str(request), str(result)], str(self.script))


def peer(name: str, folder: Path) -> Peer:
    """Return a peer, its environment made in `folder` unless it is there already, from the same requirements.

    A peer without a `requirements.txt` runs in this environment. What is in `no-deps.txt` is installed last and without
    what it asks for, where that would be another torch than the pinned one.

    Raises:
        RequestError: this is not a source tree, where alone peers are.
        ConversionError: the environment could not be made.
    """
    source = PEERS / name
    if not (source / "run.py").is_file():
        raise RequestError(f"{name}: its script is in the repository only; run this in a clone of it")
    requirements = source / "requirements.txt"
    if not requirements.is_file():
        return Peer(Path(sys.executable), source / "run.py")
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    made = folder / f".{name}-{script_hash(requirements, source / 'no-deps.txt')}"
    if not made.exists():
        venv.create(folder, with_pip=True, clear=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        asked = ["-r", str(requirements)]
        if PROJECT in requirements.read_text().splitlines():
            asked += ["--constraint", str(ROOT / "constraints.txt"), f"{ROOT}[export]"]
        run_process([*install, *asked], name)
        without = source / "no-deps.txt"
        if without.is_file():
            run_process([*install, "--no-deps", "-r", str(without)], name)
        made.touch()
    return Peer(python, source / "run.py")


def script_hash(*files: Path) -> str:
    """Return what tells these files from others of their names."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes() if file.is_file() else b"")
    return digest.hexdigest()[:12]


def run_process(command: list[str], name: str) -> None:
    """Run a command to its end.

    Raises:
        ConversionError: it failed; the text is its last line.
    """
    # Peers import onnxruntime as their makers do, which would report what they run.
    environment = {"ORT_DISABLE_TELEMETRY": "1", **os.environ}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        words = " ".join(command)
        raise ConversionError(f"{name}: status {done.returncode}, {last}; run `{words}` by hand to see all of it")


def own_process(module: str, request: Path, result: Path) -> None:
    """Run a module of this package on a request, in this environment."""
    run_process([sys.executable, "-m", module, str(request), str(result)], module)
