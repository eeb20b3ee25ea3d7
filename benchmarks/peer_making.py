"""What a user would run in place of a bundle, on the same weights: each peer makes two graphs, by name.

A peer is a folder in `peers/`: `run.py REQUEST RESULT`, which imports no more of this project than its environment has,
and the pinned `requirements.txt` of that environment. `plain` is the baseline that every ratio refers to.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from ..contract import COMPONENT_NAMES, GraphContract, TensorSpec
from ..errors import RequestError, UnsupportedError
from ..models import SamModel
from ..models.cache import cache_folder
from ..runtimes.preprocess import prepare_image
from ..verify.pictures import picture_set
from .peer_environment import PEERS as PEER_FOLDER
from .peer_environment import Peer, peer, script_hash
from .peer_graphs import GRAPHS_NAME, OWN, PLAIN, Engine, Form, PeerGraphs
from .plain_modules import plain_modules

SCRIPT_FILES = ("run.py", "requirements.txt", "no-deps.txt")


@dataclass(frozen=True)
class PeerKind:
    """`what`: a sentence for reports. `from_plain`: whether it works on the plain export's graphs."""

    what: str
    from_plain: bool = False
    calibrated: bool = False


PEERS: Mapping[str, PeerKind] = {
    PLAIN: PeerKind("torch.onnx.export of upstream's modules, fp32, opset 17, in onnxruntime"),
    "plain_openvino": PeerKind("the plain export converted for OpenVINO, fp32", from_plain=True),
    "quantize_dynamic": PeerKind("the plain export through onnxruntime's quantize_dynamic", from_plain=True),
    "nncf_default": PeerKind(
        "the plain export's encoder through nncf.quantize with its defaults", from_plain=True, calibrated=True
    ),
    "step_exporter": PeerKind("a step to a bundle: upstream's modules through this project's exporter"),
    "step_folded": PeerKind("a step to a bundle: norms folded, tokens projected in place of cells"),
    "samexporter": PeerKind("the package samexporter's own export"),
    "optimum": PeerKind("Hugging Face optimum's own export"),
}


class PeerRequest(msgspec.Struct, frozen=True):
    """What a script is given: `plain` are the baseline's graphs by component, `calibration` a file of [P, 3, S, S]."""

    model: str
    family: str
    checkpoint: str | None
    seed: int | None
    out: str
    plain: dict[str, str]
    calibration: str | None


class PeerAnswer(msgspec.Struct, frozen=True):
    """What a script gives: files relative to `out`, or why it cannot take the model."""

    made_by: str = ""
    engine: Engine = "onnxruntime"
    form: Form = "one_prompt"
    files: dict[str, str] = {}
    refused: str | None = None


@dataclass(frozen=True)
class Source:
    """The weights that peers work on. `checkpoint`: the user's own file, None for the variant's."""

    model: SamModel
    checkpoint: Path | None

    @property
    def key(self) -> str:
        return f"{self.model.variant.name}-{self.model.checkpoint_sha256[:12]}"


def default_folder() -> Path:
    """Return where environments and graphs of peers are kept."""
    return cache_folder() / "peers"


def require_peers(names: tuple[str, ...]) -> None:
    """Raise RequestError for a name that is no peer."""
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        raise RequestError(f"{unknown[0]!r} is no peer; there are: {', '.join(PEERS)}")


def make_graphs(name: str, source: Source, folder: Path) -> Path:
    """Return the folder with the peer's graphs, made there unless the same script made them of the same weights.

    Raises:
        UnsupportedError: the peer does not take this model; the text says why.
        RequestError: this is no clone of the repository.
        ConversionError: the environment could not be made, or the script failed.
    """
    kind = PEERS[name]
    plain = make_graphs(PLAIN, source, folder) if kind.from_plain else None
    # This module, too: it says what the graphs take and give.
    written = script_hash(Path(__file__), *(PEER_FOLDER / name / file for file in SCRIPT_FILES))
    # What is made of the plain graphs lies beside them, and those depend on this project's modules, too.
    key = f"{name}-{written}" + ("" if plain is None else f"-{script_hash(plain / 'image_encoder.onnx')}")
    out = folder / "graphs" / source.key / key
    if name in OWN or not (out / GRAPHS_NAME).is_file():
        _make(peer(name, folder / name), source, plain, out)
    return out


def _make(script: Peer, source: Source, plain: Path | None, out: Path) -> None:
    name = script.script.parent.name
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sam-export-") as temporary:
        request, result = (Path(temporary) / file for file in ("request.json", "result.json"))
        calibration = _calibration(source, Path(temporary)) if PEERS[name].calibrated else None
        request.write_bytes(msgspec.json.encode(_request(source, plain, calibration, out)))
        script.run(request, result)
        answer = msgspec.json.decode(result.read_bytes(), type=PeerAnswer)
    if answer.refused is not None:
        raise UnsupportedError(f"{name}: {answer.refused}")
    (out / GRAPHS_NAME).write_bytes(msgspec.json.encode(_graphs(answer, source)))


def _request(source: Source, plain: Path | None, calibration: Path | None, out: Path) -> PeerRequest:
    graphs: dict[str, str] = {} if plain is None else {name: str(plain / f"{name}.onnx") for name in COMPONENT_NAMES}
    return PeerRequest(
        model=source.model.variant.name,
        family=source.model.variant.family,
        checkpoint=None if source.checkpoint is None else str(source.checkpoint.resolve()),
        seed=source.model.seed,
        out=str(out),
        plain=graphs,
        calibration=None if calibration is None else str(calibration),
    )


def _calibration(source: Source, folder: Path) -> Path:
    pre = source.model.variant.preprocessing
    path = folder / "calibration.npy"
    np.save(path, np.concatenate([prepare_image(one.image, pre).tensor for one in picture_set("calibration")]))
    return path


def _graphs(answer: PeerAnswer, source: Source) -> PeerGraphs:
    variant = source.model.variant
    contracts: dict[str, GraphContract] = {
        name: contract for name, (_, contract) in plain_modules(source.model).items()
    }
    if answer.form == "one_prompt":
        contracts["mask_decoder"] = one_prompt(contracts["mask_decoder"], answer.engine)
    return PeerGraphs(
        answer.made_by,
        answer.engine,
        answer.form,
        answer.files,
        contracts,
        variant.preprocessing,
        variant.mask_rule,
    )


def one_prompt(contract: GraphContract, engine: Engine) -> GraphContract:
    """Return the contract with one prompt a call. What the outputs' first axis is then, OpenVINO alone finds out."""
    outputs = contract.outputs if engine == "onnxruntime" else _of_one(contract.outputs)
    return replace(contract, inputs=_of_one(contract.inputs), outputs=outputs)


def _of_one(specs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    return tuple(replace(spec, shape=tuple(1 if axis == "B" else axis for axis in spec.shape)) for spec in specs)
