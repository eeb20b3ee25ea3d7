"""The typed view of one operation's inputs that a handler reads.

Owns the conversions from what a package holds to what torch's functions take. A value of the wrong kind is
a `ContractError` that names the input, never a KeyError or an AttributeError.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from ...errors import ContractError

Value = Tensor | str | tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class OpInputs:
    """The inputs of one operation by their MIL names; an optional input that is not given is absent.

    Floating tensors are float32, whatever the program declares; integers keep their width, except that
    unsigned ones above 8 bits, which torch computes poorly with, are held in the next larger signed type.
    """

    values: Mapping[str, Value]

    def has(self, name: str) -> bool:
        return name in self.values

    def tensor(self, name: str) -> Tensor:
        value = self.values.get(name)
        if not isinstance(value, Tensor):
            raise ContractError(f"input {name!r} is {_kind(value)}, a tensor is needed")
        return value

    def optional_tensor(self, name: str) -> Tensor | None:
        return self.tensor(name) if name in self.values else None

    def tensors(self, name: str) -> tuple[Tensor, ...]:
        value = self.values.get(name)
        if not isinstance(value, tuple):
            raise ContractError(f"input {name!r} is {_kind(value)}, a list of tensors is needed")
        return value

    def text(self, name: str) -> str:
        value = self.values.get(name)
        if not isinstance(value, str):
            raise ContractError(f"input {name!r} is {_kind(value)}, a string is needed")
        return value

    def integers(self, name: str) -> list[int]:
        """Return the elements of an integer (or boolean) vector."""
        tensor = self.tensor(name)
        if tensor.is_floating_point():
            raise ContractError(f"input {name!r} is {tensor.dtype}, integers are needed")
        return [int(value) for value in tensor.reshape(-1).tolist()]

    def optional_integers(self, name: str) -> list[int] | None:
        return self.integers(name) if name in self.values else None

    def integer(self, name: str) -> int:
        values = self.integers(name)
        if len(values) != 1:
            raise ContractError(f"input {name!r} has {len(values)} elements, one is needed")
        return values[0]

    def number(self, name: str) -> float:
        tensor = self.tensor(name)
        if tensor.numel() != 1:
            raise ContractError(f"input {name!r} has {tensor.numel()} elements, one is needed")
        return float(tensor)

    def flag(self, name: str) -> bool:
        return bool(self.integer(name))


def _kind(value: Value | None) -> str:
    if value is None:
        return "missing"
    return {Tensor: "a tensor", str: "a string", tuple: "a list"}[type(value)]


def positive_axis(axis: int, rank: int) -> int:
    """Return `axis` counted from the front. Raises ContractError outside of -rank..rank-1."""
    if not -rank <= axis < rank:
        raise ContractError(f"axis {axis} is outside of a tensor of rank {rank}")
    return axis % rank
