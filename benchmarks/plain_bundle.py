"""The plain export with a manifest around it, for runtimes that open bundles. It passed no gate, and is not kept."""

from __future__ import annotations

import dataclasses
import importlib.util
import shutil
from pathlib import Path
from typing import Any

from ..contract import GraphContract, Recipe, TensorSpec
from ..manifest import MANIFEST_NAME, FileEntry, GraphEntry, Manifest, encode_manifest, file_sha256, read_manifest
from ..models import SamModel
from .peer_environment import PEERS, peer
from .plain_modules import plain_modules

NAME = "plain"


def write_plain_bundle(model: SamModel, bundle: Path, folder: Path) -> Manifest:
    """Return the manifest of the plain export in `folder`; all but its graphs is as in the bundle of the same model.

    Raises:
        RequestError: this is not a source tree, where alone the script is.
    """
    shutil.copytree(bundle / "selftest", folder / "selftest")
    modules, export = plain_modules(model), _script().export
    for name, (module, contract) in modules.items():
        export(module, contract, folder / f"{name}.onnx")
    recipe = Recipe("fp32", "fp32", "fp32")
    entries = {name: _entry(folder, f"{name}.onnx") for name in modules}
    graphs: dict[str, GraphEntry] = {
        name: GraphEntry(_of_one_prompt(contract), entries[name].path, (entries[name],), recipe)
        for name, (_, contract) in modules.items()
    }
    manifest = read_manifest(bundle)
    variant = dataclasses.replace(manifest.variants[0], name=NAME, devices=("wasm",), graphs=graphs)
    made = dataclasses.replace(manifest, variants=(variant,), extras=())
    (folder / MANIFEST_NAME).write_bytes(encode_manifest(made))
    return made


def _script() -> Any:
    """Return the one script that makes the plain export, which runs in this environment."""
    spec = importlib.util.spec_from_file_location("plain_export", peer(NAME, PEERS).script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _of_one_prompt(contract: GraphContract) -> GraphContract:
    """Return what the plain decoder takes and gives, as upstream's does: one prompt of any number of points."""

    def fixed(spec: TensorSpec) -> TensorSpec:
        return dataclasses.replace(spec, shape=tuple(1 if size == "B" else size for size in spec.shape))

    # Shapes of its outputs are what the trace says, which knows no more of the number of prompts.
    return GraphContract(contract.component, tuple(map(fixed, contract.inputs)), contract.outputs)


def _entry(folder: Path, path: str) -> FileEntry:
    file = folder / path
    return FileEntry(path, file_sha256(file), file.stat().st_size)
