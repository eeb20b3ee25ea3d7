"""Graphs between the plain export's and a bundle's, so that a run shows what each rewriting brings."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import msgspec
import torch
from torch import nn

from ..contract import ComponentName, Graph, GraphContract
from ..models import SamModel, find, load, untrained
from ..models.components import Component, example_inputs
from ..models.conv_norm import folded
from ..models.engine_attention import with_engine_attention
from ..models.transformer import TwoWayTransformer
from .peer_making import PeerAnswer, PeerRequest
from .plain_modules import PlainDecoder, PlainEncoder, plain_modules

Step = Callable[[SamModel], SamModel]
# `exporters.export`, which scripts of peers may import.
Export = Callable[[Component, str, str, Path], Graph]


def run_step(step: Step, export: Export) -> None:
    """Answer a peer's request, the two paths on the command line, with the graphs of a model that went so far."""
    request = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=PeerRequest)
    checkpoint = None if request.checkpoint is None else Path(request.checkpoint)
    model = load(request.model, checkpoint) if request.seed is None else untrained(find(request.model), request.seed)
    answer = exported_step(step, model, Path(request.out), export)
    Path(sys.argv[2]).write_bytes(msgspec.json.encode(answer))


def exported_step(step: Step, model: SamModel, out: Path, export: Export) -> PeerAnswer:
    """Return both graphs of a model after the step, written to `out`; a refusal if its decoder is not of SAM's form."""
    decoder = model.module.get_submodule("mask_decoder") if hasattr(model.module, "mask_decoder") else None
    if decoder is None or not isinstance(getattr(decoder, "transformer", None), TwoWayTransformer):
        return PeerAnswer(refused=f"{model.variant.family} has no mask decoder of SAM's form; leave this step out")
    contracts = {name: contract for name, (_, contract) in plain_modules(model).items()}
    files: dict[str, str] = {}
    for name, module in _modules(step(model), contracts).items():
        contract = contracts[name]
        part = Component(module, contract, example_inputs(contract), ())
        files[name] = export(part, "onnx", "fp32", out).path.name
    made_by = f"torch {torch.__version__} and this project's exporter"
    return PeerAnswer(made_by=made_by, engine="onnxruntime", form="batched", files=files)


def _modules(model: SamModel, contracts: Mapping[ComponentName, GraphContract]) -> dict[ComponentName, nn.Module]:
    return {
        "image_encoder": PlainEncoder(model, contracts["image_encoder"]).eval(),
        "mask_decoder": PlainDecoder(model, contracts["mask_decoder"]).eval(),
    }


def folded_and_projected(model: SamModel) -> SamModel:
    """Return the model with batch norms in their convolutions and attention as `models/engine_attention.py` has it."""
    module = copy.deepcopy(model.module)
    module.add_module("image_encoder", folded(module.get_submodule("image_encoder")))
    module.add_module("mask_decoder", with_engine_attention(module.get_submodule("mask_decoder")))
    return replace(model, module=module.eval())
