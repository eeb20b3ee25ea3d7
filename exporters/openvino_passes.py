"""Rewrites of an OpenVINO model: its own optimisations without their growth, stable names, fp32 marks."""

from __future__ import annotations

import importlib
import math
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from .module_scopes import ops_of_modules

COUNTED_NAME = re.compile(r"[A-Za-z0-9]+_\d+")
FLOAT32_MARK = {"name": "DisablePrecisionConversion", "version": "0", "value": "dynamic:f16"}


@dataclass(frozen=True)
class _Hidden:
    parameter: Any
    constant: Any


def simplify(openvino: ModuleType, model: Any) -> None:
    """Fuse attention, GELU and norms, and fold constants, in place.

    A small table that an op expands (attention biases, cell positions) would be folded into the expanded one. It is an
    input of the model while the optimisations run, and a constant again afterwards.
    """
    transformations = importlib.import_module("openvino._offline_transformations")
    hidden = [_hide(openvino, model, constant) for constant in _expanded_tables(model)]
    transformations.apply_moc_transformations(model, cf=False, smart_reshape=False)
    for table in hidden:
        _move_uses(table.parameter, table.constant)
        model.remove_parameter(table.parameter)
    model.validate_nodes_and_infer_types()


def name_by_position(model: Any) -> None:
    """Replace names made with a counter of the process (`Constant_5541`) by ones that two exports share."""
    for index, op in enumerate(model.get_ordered_ops()):
        if COUNTED_NAME.fullmatch(op.get_friendly_name()):
            op.set_friendly_name(f"{op.get_type_name()}_{index}")


def mark_float32(path: Path, modules: tuple[str, ...], subject: str) -> None:
    """Mark the ops of the modules in an IR file, and the constants that feed them, as not to be converted to fp16."""
    tree = ET.parse(path)  # noqa: S314  # written by openvino a moment ago
    layers = {str(layer.get("id")): layer for layer in tree.iter("layer")}
    ops = {str(layer.get("name")) for layer in layers.values() if layer.get("type") != "Const"}
    inside = ops_of_modules(ops, modules, subject)
    marked = {key for key, layer in layers.items() if layer.get("name") in inside}
    feeding = {str(edge.get("from-layer")) for edge in tree.iter("edge") if edge.get("to-layer") in marked}
    for key in sorted(marked | {key for key in feeding if layers[key].get("type") == "Const"}, key=int):
        _mark(layers[key])
    tree.write(path, encoding="utf-8", xml_declaration=True)


def _mark(layer: ET.Element) -> None:
    info = layer.find("rt_info")
    if info is None:
        info = ET.SubElement(layer, "rt_info")
    ET.SubElement(info, "attribute", FLOAT32_MARK)


def _expanded_tables(model: Any) -> list[Any]:
    """Return the float constants whose op has only constant inputs and a float result larger than each of them."""
    tables = {}
    for op in model.get_ordered_ops():
        sources = [value.get_source_output().get_node() for value in op.inputs()]
        floats = [source for source in sources if _is_float(source)]
        if not floats or any(source.get_type_name() != "Constant" for source in sources) or not _is_float(op):
            continue
        if _size(op) > max(_size(source) for source in floats) > 1:
            tables.update({source.get_friendly_name(): source for source in floats})
    return list(tables.values())


def _is_float(op: Any) -> bool:
    return op.get_output_size() == 1 and bool(op.get_output_element_type(0).is_real())


def _size(op: Any) -> int:
    return math.prod(op.get_output_partial_shape(0).to_shape())


def _hide(openvino: ModuleType, model: Any, constant: Any) -> _Hidden:
    parameter = openvino.opset13.parameter(constant.get_output_shape(0), constant.get_output_element_type(0))
    _move_uses(constant, parameter)
    model.add_parameters([parameter])
    return _Hidden(parameter, constant)


def _move_uses(source: Any, target: Any) -> None:
    for use in source.output(0).get_target_inputs():
        use.replace_source_output(target.output(0))
