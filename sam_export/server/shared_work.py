"""Work that several requests ask for at once, done once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


@dataclass(eq=False)
class _Shared(Generic[Result]):
    task: asyncio.Task[Result]
    waiting: int = 0


class SharedWork(Generic[Result]):
    """Coroutines under way, by name. One that nobody waits for any more is cancelled. Belongs to one event loop."""

    def __init__(self) -> None:
        self._under_way: dict[str, _Shared[Result]] = {}

    async def result(self, name: str, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Return what the work of this name gives, begun here unless it is under way; raises what it raises."""
        shared = self._under_way.get(name)
        if shared is None:
            shared = self._under_way[name] = _Shared(asyncio.create_task(work()))
            shared.task.add_done_callback(lambda _task: self._forget(name, shared))
        shared.waiting += 1
        try:
            return await asyncio.shield(shared.task)
        finally:
            shared.waiting -= 1
            if not shared.waiting and not shared.task.done():
                self._forget(name, shared)
                shared.task.cancel()

    def _forget(self, name: str, shared: _Shared[Result]) -> None:
        if self._under_way.get(name) is shared:
            del self._under_way[name]
        if shared.task.done() and not shared.task.cancelled():
            shared.task.exception()  # seen, though all who waited may have gone
