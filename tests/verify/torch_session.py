"""A candidate for the gate's tests: an exported component as torch runs it, and sessions that are wrong on purpose."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch

from sam_export.contract import Array, ComponentName, EngineReport, Session
from sam_export.models import SamModel, components
from sam_export.models.components import Component

Feeds = Mapping[str, Array]
Outputs = dict[str, Array]


class TorchSession:
    """Runs a component's module; satisfies `contract.Session`."""

    def __init__(self, component: Component) -> None:
        self._component = component

    @property
    def report(self) -> EngineReport:
        return EngineReport("torch", torch.__version__, "cpu", "fp32", None, {})

    def run(self, feeds: Feeds) -> Outputs:
        contract = self._component.contract
        with torch.inference_mode():
            given = (torch.from_numpy(np.ascontiguousarray(feeds[name])) for name in contract.input_names)
            result = self._component.module(*given)
        outputs = result if isinstance(result, tuple) else (result,)
        return {name: value.numpy() for name, value in zip(contract.output_names, outputs, strict=True)}


class WrongSession:
    """Another session whose feeds or outputs are changed on the way."""

    def __init__(
        self,
        session: Session,
        *,
        feeds: Callable[[Feeds], Feeds] = lambda feeds: feeds,
        outputs: Callable[[Outputs], Outputs] = lambda outputs: outputs,
    ) -> None:
        self._session, self._feeds, self._outputs = session, feeds, outputs

    @property
    def report(self) -> EngineReport:
        return self._session.report

    def run(self, feeds: Feeds) -> Outputs:
        return self._outputs(self._session.run(self._feeds(feeds)))


def torch_sessions(model: SamModel) -> dict[ComponentName, Session]:
    return {component.contract.component: TorchSession(component) for component in components(model)}
