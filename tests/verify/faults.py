"""Exported components of the tiny model in which something is wrong on purpose."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import torch

from sam_export.contract import Array, ComponentName, Graph
from sam_export.exporters import export
from sam_export.models import SamModel, components
from sam_export.models.components import Component

from ..exporters.graphs import decoder_feeds, encoder_feeds


def part(model: SamModel, name: ComponentName) -> Component:
    (found,) = (part for part in components(model) if part.contract.component == name)
    return found


def feeds(component: Component) -> dict[str, Array]:
    """One prompt with every label and a mask, so that all that the decoder computes matters."""
    if component.contract.component == "image_encoder":
        return encoder_feeds(component.contract)
    return decoder_feeds(component.contract, batch=1, has_mask=1)


def export_wrong(component: Component, parameter: str, target: str, folder: Path) -> Graph:
    """Return the fp32 graph of a copy of the component, with the parameter's first row changed, unevenly."""
    wrong = dataclasses.replace(component, module=copy.deepcopy(component.module))
    with torch.no_grad():
        row = wrong.module.get_parameter(parameter)[0]
        row += torch.linspace(1, -1, row.numel()).reshape(row.shape)
    return export(wrong, target, "fp32", folder)
