"""Torch tensors in, torch tensors out: what code written for upstream does with an answer works on it.

Torch is never imported here. Who gives a tensor has it already.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from ..contract import Array

if TYPE_CHECKING:
    from torch import Tensor


def is_tensor(given: object) -> TypeGuard[Tensor]:
    """Return whether it is a torch tensor."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(given, torch.Tensor)


def as_given(answer: Array, *given: object) -> Any:
    """Return the array as a tensor on the CPU if anything given is a tensor, else as it is."""
    if not any(is_tensor(one) for one in given):
        return answer
    return sys.modules["torch"].from_numpy(np.ascontiguousarray(answer))
