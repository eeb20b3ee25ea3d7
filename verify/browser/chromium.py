"""Chromium without a window. It ends with this process, however that ends, since its command pipe does."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import weakref
from pathlib import Path
from typing import IO

from ...errors import NotVerifiableError

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
FLAGS = (
    "--headless=new",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
    "--remote-debugging-pipe",
)
# Chromium reads commands on 3 and answers on 4, where nobody listens.
START = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(os.open(os.devnull, os.O_WRONLY), 4); "
    "os.set_inheritable(3, True); os.set_inheritable(4, True); os.execv(sys.argv[2], sys.argv[2:])"
)
SECONDS_TO_END = 5
# The path of a socket has 107 bytes at most, and Chromium's name in the folder takes 46 of them.
LONGEST_FOLDER, SHORT_FOLDER = 60, "/tmp"  # noqa: S108  # Chromium draws a name of its own in it


def find_chromium() -> Path | None:
    """Return the program, or None where there is none that this process can drive."""
    if sys.platform != "linux":
        return None
    found = next(filter(None, map(shutil.which, NAMES)), None)
    return None if found is None else Path(found)


class Chromium:
    """One browser with a profile of its own, which is removed with it.

    Raises:
        NotVerifiableError: it cannot be started.
    """

    def __init__(self, program: Path) -> None:
        self._profile = tempfile.TemporaryDirectory(prefix="sam-export-chromium-", ignore_cleanup_errors=True)
        reading, writing = os.pipe()
        try:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", "-c", START, str(reading), str(program), *FLAGS, *_unsandboxed()),
                    f"--user-data-dir={self._profile.name}",
                ],
                pass_fds=(reading,),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "TMPDIR": short_folder(tempfile.gettempdir())},
                start_new_session=True,
            )
        except OSError as exc:
            os.close(writing)
            raise NotVerifiableError(
                f"{program}: cannot be started ({exc.strerror or exc}); install Chromium again"
            ) from exc
        finally:
            os.close(reading)
        self._commands = os.fdopen(writing, "wb", buffering=0)
        self._sent = 0
        self.close = weakref.finalize(self, _end, self._process, self._commands, self._profile)

    def open(self, url: str) -> None:
        """Open a page in a tab of its own."""
        self._sent += 1
        command = {"id": self._sent, "method": "Target.createTarget", "params": {"url": url}}
        self._commands.write(json.dumps(command).encode() + b"\0")

    @property
    def pid(self) -> int:
        """The process, and the group of all that it starts."""
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None


def short_folder(folder: str) -> str:
    """Return a folder for Chromium's socket, which ends it where the path is longer than the system takes."""
    return folder if len(os.fsencode(folder)) <= LONGEST_FOLDER else SHORT_FOLDER


def _unsandboxed() -> tuple[str, ...]:
    """Chromium refuses its sandbox to root, as which containers run; its pages are this package's own."""
    return ("--no-sandbox",) if os.geteuid() == 0 else ()


def _end(process: subprocess.Popen[bytes], commands: IO[bytes], profile: tempfile.TemporaryDirectory[str]) -> None:
    commands.close()
    try:
        process.wait(SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    profile.cleanup()
