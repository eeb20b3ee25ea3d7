"""Threads for what would stop the event loop: decoding pictures, packing embeddings, drawing masks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

READERS = 2

Params = ParamSpec("Params")
Result = TypeVar("Result")


class Readers:
    """A few threads; whoever finds them busy waits. What waits is bounded by the queues' places and by the bodies."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="reader")

    async def run(self, work: Callable[Params, Result], *args: Params.args, **kwargs: Params.kwargs) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(work, *args, **kwargs))

    def stop(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
