"""The graphs that a peer made, and all that a process needs to run them without the model."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from ..contract import GraphContract, MaskRule, Preprocessing

PLAIN = "plain"
GRAPHS_NAME = "graphs.json"
Engine = Literal["onnxruntime", "openvino"]
Form = Literal["one_prompt", "batched", "samexporter", "optimum"]
# What this project's own modules make: the graphs change with them, and are made anew for each run.
OWN = (PLAIN, "step_exporter", "step_folded")


class PeerGraphs(msgspec.Struct, frozen=True):
    """`files`: by component, relative to the folder. `form`: how the decoder is called."""

    made_by: str
    engine: Engine
    form: Form
    files: dict[str, str]
    contracts: dict[str, GraphContract]
    preprocessing: Preprocessing
    mask_rule: MaskRule

    @property
    def file_names(self) -> tuple[str, ...]:
        """Every file that has to be shipped."""
        beside = [Path(name).with_suffix(".bin").name for name in self.files.values() if name.endswith(".xml")]
        return (*self.files.values(), *beside)


def read_graphs(folder: Path) -> PeerGraphs:
    return msgspec.json.decode((folder / GRAPHS_NAME).read_bytes(), type=PeerGraphs)
