"""A server that breaks off, lies about lengths and ranges, or serves another file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from .cases import Case, Trouble
from .commands import Stock, pull
from .file_server import Behaviour
from .run import Place

# Of the 886 kB of the weights.
PART = 200_000

# What is tried, how the server behaves, and whether the pull has to be refused for it.
LIES: tuple[tuple[str, Mapping[str, Any], bool], ...] = (
    ("breaks off three times after new bytes", {"breaks": [PART, PART, PART]}, False),
    ("breaks off once, then nothing more comes", {"breaks": [PART, 0, 0, 0, 0]}, True),
    ("breaks off at once, again and again", {"breaks": [0] * 6}, True),
    ("says that the file is longer", {"claimed_bytes": 900_000}, True),
    ("says that the file is shorter", {"claimed_bytes": PART}, True),
    ("says that it is far too long", {"claimed_bytes": 10**15}, True),
    ("gives another range than was asked for", {"breaks": [PART], "claimed_start": 7}, False),
    ("serves another file of the same length", {"changed": True}, True),
    ("is overloaded twice, then answers", {"statuses": [503, 429]}, False),
    ("is overloaded and stays so", {"statuses": [503] * 9}, True),
    ("does not have the file", {"statuses": [404]}, True),
)


def network_cases(stock: Stock, behaviour: Behaviour) -> Iterator[Case]:
    for what, changes, refused in LIES:
        yield Case("network", f"the server {what}", pull(stock), partial(_lying, behaviour, changes), refused=refused)


@contextmanager
def _lying(behaviour: Behaviour, changes: Mapping[str, Any], _: Place) -> Iterator[Trouble]:
    honest = replace(behaviour)

    def begin() -> None:
        behaviour.__dict__.update({name: _copied(value) for name, value in changes.items()})

    def end() -> None:
        behaviour.__dict__.update(replace(honest, breaks=[], statuses=[]).__dict__)

    yield Trouble(begin, end)
    end()


def _copied(value: Any) -> Any:
    """Lists are used up request by request."""
    return list(value) if isinstance(value, list) else value
