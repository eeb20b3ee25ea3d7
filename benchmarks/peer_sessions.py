"""A peer's graphs as a `Segmenter`, so that all that is timed is called the same way."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..contract import Array, EngineOptions, EngineReport, GraphContract, Session
from ..runtimes import Segmenter
from .peer_graphs import PeerGraphs, read_graphs


class OneByOne:
    """A decoder of one prompt a call, asked for many: a call each. Satisfies `contract.Session`."""

    def __init__(self, session: Session, contract: GraphContract) -> None:
        self._session = session
        self._per_prompt = ("point_coords", "point_labels", "mask_input", "has_mask_input")
        self._contract = contract

    @property
    def report(self) -> EngineReport:
        return self._session.report

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        prompts = len(feeds["point_coords"])
        if prompts == 1:
            return self._session.run(feeds)
        answers = [self._session.run(self._of(feeds, index)) for index in range(prompts)]
        return {name: np.concatenate([answer[name] for answer in answers]) for name in self._contract.output_names}

    def _of(self, feeds: Mapping[str, Array], index: int) -> dict[str, Array]:
        return {name: value[index : index + 1] if name in self._per_prompt else value for name, value in feeds.items()}


def open_peer(folder: Path, options: EngineOptions) -> Segmenter:
    """Return the peer's graphs, ready for `set_image`.

    Raises:
        UnsupportedError, MissingDependencyError, BundleError, ContractError: as a bundle's graphs.
    """
    graphs = read_graphs(folder)
    sessions = {name: _open(folder / file, graphs, name, options) for name, file in graphs.files.items()}
    decoder = OneByOne(sessions["mask_decoder"], graphs.contracts["mask_decoder"])
    return Segmenter({**sessions, "mask_decoder": decoder}, graphs.preprocessing, graphs.mask_rule)


def _open(path: Path, graphs: PeerGraphs, name: str, options: EngineOptions) -> Session:
    contract = graphs.contracts[name]
    if graphs.engine == "openvino":
        from ..runtimes.openvino_engine import OpenVinoSession

        return OpenVinoSession(path, contract, options)
    from ..runtimes.onnxruntime_engine import OnnxRuntimeSession

    return OnnxRuntimeSession(path, contract, options)
