"""A component as eager PyTorch runs it, in place of an engine: to tell which half of a candidate is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version

import numpy as np
import torch

from ..contract import Array, ComponentName, EngineReport, Session
from ..models import Component, SamModel, components


class TorchSession:
    """Runs a component's module in fp32 on the CPU; satisfies `contract.Session`."""

    def __init__(self, component: Component) -> None:
        self._component = component

    @property
    def report(self) -> EngineReport:
        return EngineReport("pytorch", version("torch"), "cpu", "fp32", torch.get_num_threads(), {})

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        contract = self._component.contract
        with torch.inference_mode():
            given = (torch.from_numpy(np.ascontiguousarray(feeds[name])) for name in contract.input_names)
            result = self._component.module(*given)
        outputs = result if isinstance(result, tuple) else (result,)
        return {name: value.numpy() for name, value in zip(contract.output_names, outputs, strict=True)}


def torch_sessions(model: SamModel) -> dict[ComponentName, Session]:
    return {part.contract.component: TorchSession(part) for part in components(model)}
