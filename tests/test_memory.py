"""Large tensors that are freed and asked for again stay with the process."""

from __future__ import annotations

import errno
import os
import platform
import subprocess
import sys

import pytest

from sam_export.errors import SamExportError
from sam_export.memory import memory_errors

# In a thread too, since pictures are measured in several.
PROGRAM = """
import resource, sys, threading
from sam_export.memory import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()
import numpy as np

def use():
    for _ in range(10):
        np.ones(1 << 24, np.float32)

def faults(work):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    work()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def in_thread():
    thread = threading.Thread(target=use)
    thread.start()
    thread.join()

use()
print(faults(use), faults(in_thread))
"""


def faults(how: str) -> list[int]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.split()]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_freed_memory_is_used_again() -> None:
    for kept, by_default in zip(faults("kept"), faults("by default"), strict=True):
        assert kept < by_default / 10


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 12 bytes"),
        RuntimeError("Exception during initialization: std::bad_alloc"),
        RuntimeError("can't start new thread"),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
        ImportError("libopenvino.so: failed to map segment from shared object"),
        RuntimeError("could not create a primitive"),
        RuntimeError("Exception from src/node.cpp:1:\ncould not create a primitive\n"),
    ],
    ids=["Python", "torch", "an engine", "a thread", "the system", "a library", "oneDNN", "oneDNN in OpenVINO"],
)
def test_memory_that_runs_out_is_said_in_one_line(error: Exception) -> None:
    with pytest.raises(SamExportError, match=r"^out of memory; end other programs"), memory_errors():
        raise error


@pytest.mark.parametrize("text", ["a bug", "could not create a primitive descriptor for a matmul primitive"])
def test_other_errors_are_as_they_were(text: str) -> None:
    with pytest.raises(RuntimeError, match=f"^{text}$"), memory_errors():
        raise RuntimeError(text)
