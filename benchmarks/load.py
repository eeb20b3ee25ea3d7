"""A load on a server of this machine, from a process of its own.

    python -m sam_export.benchmarks.load PLAN.json

Closed: so many clients, each with its next request once the last was answered, waiting where a 429 says so. Open: so
many requests a second whatever becomes of them, as strangers come.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import httpx
import msgspec
import numpy as np

from ..errors import RequestError

HERE = ("127.0.0.1", "::1", "localhost")
MAX_REQUESTS, MAX_SECONDS, MAX_AT_ONCE = 1_000_000, 3600.0, 1000
PATIENCE_S = 180.0
LONGEST_VISIT_S = 1.0
# In the place of a status.
FAILED, VANISHED, UNSENT = 0, -1, -2
OK, OVERLOADED, INTERNAL = 200, 429, 500
NAMES = {FAILED: "no answer", VANISHED: "client left", UNSENT: "not sent"}

Kind = Literal["encode", "kept", "click"]


@dataclass(frozen=True)
class Plan:
    """What to do to a server.

    Args:
        kind: "encode" sends a picture that is new to the server each time, "kept" one that it knows, "click" asks
            for the mask of a box on that one.
        picture: file of the picture.
        clients: of a closed load. Ignored with a rate.
        rate: requests a second of an open load.
        vanishing: part of the clients that leave within a second.
    """

    url: str
    kind: Kind
    picture: str
    seconds: float
    clients: int = 1
    rate: float | None = None
    vanishing: float = 0.0


@dataclass(frozen=True)
class Attempt:
    """One request: when it began, in seconds of the load, how long it took, and its status, FAILED, VANISHED or UNSENT.

    `retry_after_s`: when the server says to come again, None if it does not.
    """

    began: float
    ms: float
    status: int
    retry_after_s: float | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a load. Milliseconds are of the answers with status 200.

    `retry_after_s`: the least and the most that refusals said; `untold`: refusals that said nothing.
    """

    kind: Kind
    clients: int
    rate: float | None
    seconds: float
    statuses: dict[str, int]
    a_second: float
    p50_ms: float | None
    p99_ms: float | None
    longest_ms: float | None
    retry_after_s: tuple[float, float] | None = None
    untold: int = 0


def outcome(plan: Plan, attempts: Sequence[Attempt]) -> Outcome:
    """Return the attempts summed up. A second's worth counts to the end of the last answer."""
    taken = sorted(one.ms for one in attempts if one.status == OK)
    last = max((one.began + one.ms / 1e3 for one in attempts), default=plan.seconds)
    counted = Counter(name_of(one.status) for one in attempts)
    refused = [one.retry_after_s for one in attempts if one.status == OVERLOADED]
    told = [wait for wait in refused if wait is not None]
    return Outcome(
        kind=plan.kind,
        clients=plan.clients,
        rate=plan.rate,
        seconds=last,
        statuses=dict(sorted(counted.items())),
        a_second=len(taken) / max(last, plan.seconds),
        p50_ms=percentile(taken, 0.5),
        p99_ms=percentile(taken, 0.99),
        longest_ms=taken[-1] if taken else None,
        retry_after_s=(min(told), max(told)) if told else None,
        untold=len(refused) - len(told),
    )


def name_of(status: int) -> str:
    return NAMES.get(status, str(status))


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """Return the smallest number that so many of the ordered ones do not exceed."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def run(plan: Plan) -> list[Attempt]:
    """Return every request that the load was made of.

    Raises:
        RequestError: a server elsewhere, or a load beyond what a test of one's own server needs.
    """
    if urlsplit(plan.url).hostname not in HERE:
        raise RequestError(f"load: {plan.url} is not this machine; only a server on 127.0.0.1 is loaded")
    requests = (plan.rate or 0) * plan.seconds
    if plan.seconds > MAX_SECONDS or plan.clients > MAX_AT_ONCE or requests > MAX_REQUESTS:
        raise RequestError(
            f"load: {plan.seconds:g} s, {plan.clients} clients, {requests:g} requests; allowed: at most "
            f"{MAX_SECONDS:g} s, {MAX_AT_ONCE} clients, {MAX_REQUESTS} requests"
        )
    return asyncio.run(_Load(plan).run())


class _Load:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._picture = Path(plan.picture).read_bytes()
        self._numbers = itertools.count()
        self._salt = os.urandom(8)
        self._random = np.random.default_rng(0)
        self._attempts: list[Attempt] = []
        self._body: dict[str, object] = {}

    async def run(self) -> list[Attempt]:
        limits = httpx.Limits(max_connections=MAX_AT_ONCE, max_keepalive_connections=None)
        async with httpx.AsyncClient(base_url=self._plan.url, timeout=PATIENCE_S, limits=limits) as client:
            await self._prepare(client)
            self._started = time.perf_counter()
            if self._plan.rate is None:
                await asyncio.gather(*(self._visit_again(client) for _ in range(self._plan.clients)))
            else:
                await self._visits(client, self._plan.rate)
        return self._attempts

    async def _prepare(self, client: httpx.AsyncClient) -> None:
        """Make the one picture known that is asked about again."""
        if self._plan.kind != "encode":
            answer = await client.post("/v1/embeddings", content=self._picture)
            answer.raise_for_status()
            prompt = {"box": [1, 1, 90, 90]}
            self._body = {"embedding_id": answer.headers["x-embedding-id"], "prompts": [prompt]}

    @property
    def _now(self) -> float:
        return time.perf_counter() - self._started

    async def _visit_again(self, client: httpx.AsyncClient) -> None:
        while self._now < self._plan.seconds:
            wait = await self._visit(client)
            await asyncio.sleep(min(wait, max(0.0, self._plan.seconds - self._now)))

    async def _visits(self, client: httpx.AsyncClient, rate: float) -> None:
        """Begin visits at random moments; those beyond MAX_AT_ONCE would only wait for a connection: they are noted."""
        under_way: set[asyncio.Task[float]] = set()
        for moment in self._moments(rate):
            await asyncio.sleep(max(0.0, moment - self._now))
            if len(under_way) < MAX_AT_ONCE:
                visit = asyncio.create_task(self._visit(client))
                under_way.add(visit)
                visit.add_done_callback(under_way.discard)
            else:
                self._attempts.append(Attempt(self._now, 0.0, UNSENT))
        await asyncio.gather(*under_way)

    def _moments(self, rate: float) -> Iterator[float]:
        moment = self._random.exponential(1 / rate)
        while moment < self._plan.seconds:
            yield moment
            moment += self._random.exponential(1 / rate)

    async def _visit(self, client: httpx.AsyncClient) -> float:
        """Make one request, and return the seconds to wait after it."""
        began = self._now
        status, wait = FAILED, None
        leaves = self._random.random() < self._plan.vanishing
        stays = self._random.uniform(0, LONGEST_VISIT_S) if leaves else PATIENCE_S
        try:
            answer = await asyncio.wait_for(self._ask(client), stays)
            status = answer.status_code
            wait = _seconds(answer.headers.get("retry-after"))
        except TimeoutError:
            status = VANISHED if leaves else FAILED
        except httpx.HTTPError:
            status = FAILED
        self._attempts.append(Attempt(began, 1e3 * (self._now - began), status, wait))
        return wait or 0.0

    async def _ask(self, client: httpx.AsyncClient) -> httpx.Response:
        if self._plan.kind == "click":
            return await client.post("/v1/masks", json=self._body)
        # Bytes after a picture's end make another file of the same pixels.
        tail = self._salt + next(self._numbers).to_bytes(8, "big") if self._plan.kind == "encode" else b""
        return await client.post("/v1/embeddings", content=self._picture + tail)


def _seconds(header: str | None) -> float | None:
    return None if header is None else float(header)


def main() -> None:
    plan = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Plan)
    sys.stdout.buffer.write(msgspec.json.encode(run(plan)))


if __name__ == "__main__":
    main()
