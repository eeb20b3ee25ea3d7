"""A peer's graphs as a `Segmenter`, so that all that is timed is called the same way."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..contract import Array, EngineOptions, EngineReport, GraphContract, Session
from ..optional import import_onnxruntime
from ..runtimes import Segmenter
from .peer_graphs import PeerGraphs, read_graphs

PER_PROMPT = ("point_coords", "point_labels", "mask_input", "has_mask_input")
# SAM's, as both packages' graphs have it: the caller of optimum's normalises.
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


class OneByOne:
    """A decoder of one prompt a call, asked for many: a call each. Satisfies `contract.Session`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def report(self) -> EngineReport:
        return self._session.report

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        prompts = len(feeds["point_coords"])
        answers = [self._session.run(_prompt(feeds, index)) for index in range(prompts)]
        if prompts == 1:
            return answers[0]
        return {name: np.concatenate([one[name] for one in answers]) for name in answers[0]}


def _prompt(feeds: Mapping[str, Array], index: int) -> dict[str, Array]:
    return {name: value[index : index + 1] if name in PER_PROMPT else value for name, value in feeds.items()}


class ForeignGraph:
    """A graph with tensors of its own, on onnxruntime's CPU provider."""

    def __init__(self, path: Path, options: EngineOptions) -> None:
        ort = import_onnxruntime(purpose="running ONNX graphs", extra="runtime")
        settings = ort.SessionOptions()
        settings.log_severity_level = 3
        settings.intra_op_num_threads = options.threads or 0
        self._session: Any = ort.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
        self.report = EngineReport(
            "onnxruntime", ort.__version__, "CPUExecutionProvider", "fp32", options.threads, {"tensors": "its own"}
        )

    def answer(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs by the graph's own names."""
        names = [output.name for output in self._session.get_outputs()]
        return dict(zip(names, self._session.run(names, dict(feeds)), strict=True))


class SamexporterEncoder(ForeignGraph):
    """input_image [H, W, 3] float32 0..255 -> image_embeddings."""

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        return self.answer({"input_image": feeds["image"][0].transpose(1, 2, 0)})


class SamexporterDecoder(ForeignGraph):
    """Upstream's ONNX decoder: one prompt, the masks brought to the size of the encoder's picture besides."""

    def __init__(self, path: Path, options: EngineOptions, image_hw: tuple[int, int]) -> None:
        super().__init__(path, options)
        self._size = np.array(image_hw, np.float32)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        found = self.answer({**feeds, "orig_im_size": self._size})
        return {name: found[name] for name in ("low_res_masks", "iou_predictions")}


class OptimumEncoder(ForeignGraph):
    """pixel_values [1, 3, S, S], normalised -> image_embeddings and the cells' positions."""

    positions: Array | None = None

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        mean, std = (np.array(values, np.float32).reshape(1, 3, 1, 1) for values in (MEAN, STD))
        found = self.answer({"pixel_values": (feeds["image"] - mean) / std})
        self.positions = found["image_positional_embeddings"]
        return {"image_embeddings": found["image_embeddings"]}


class OptimumDecoder(ForeignGraph):
    """input_points [1, B, N, 2], all of them foreground, since it takes no boxes -> masks and IoUs of three tokens."""

    def __init__(self, path: Path, options: EngineOptions, encoder: OptimumEncoder) -> None:
        super().__init__(path, options)
        self._encoder = encoder

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        points = feeds["point_coords"][np.newaxis]
        assert self._encoder.positions is not None
        found = self.answer(
            {
                "input_points": points,
                "input_labels": np.ones(points.shape[:3], np.int64),
                "image_embeddings": feeds["image_embeddings"],
                "image_positional_embeddings": self._encoder.positions,
            }
        )
        # The single mask's token, which it leaves out, is filled up: nothing reads its values.
        of_three = {"low_res_masks": found["pred_masks"][0], "iou_predictions": found["iou_scores"][0]}
        return {name: np.concatenate([value[:, :1], value], axis=1) for name, value in of_three.items()}


def open_peer(folder: Path, options: EngineOptions) -> Segmenter:
    """Return the peer's graphs, ready for `set_image`.

    Raises:
        UnsupportedError, MissingDependencyError, BundleError, ContractError: as a bundle's graphs.
    """
    graphs = read_graphs(folder)
    return Segmenter(_sessions(folder, graphs, options), graphs.preprocessing, graphs.mask_rule)


def _sessions(folder: Path, graphs: PeerGraphs, options: EngineOptions) -> dict[str, Session]:
    encoder, decoder = (folder / graphs.files[name] for name in ("image_encoder", "mask_decoder"))
    if graphs.form == "samexporter":
        own = SamexporterDecoder(decoder, options, graphs.preprocessing.image_hw)
        return {"image_encoder": SamexporterEncoder(encoder, options), "mask_decoder": OneByOne(own)}
    if graphs.form == "optimum":
        vision = OptimumEncoder(encoder, options)
        return {"image_encoder": vision, "mask_decoder": OptimumDecoder(decoder, options, vision)}
    contracts = graphs.contracts
    answering = _open(decoder, graphs.engine, contracts["mask_decoder"], options)
    return {
        "image_encoder": _open(encoder, graphs.engine, contracts["image_encoder"], options),
        "mask_decoder": answering if graphs.form == "batched" else OneByOne(answering),
    }


def _open(path: Path, engine: str, contract: GraphContract, options: EngineOptions) -> Session:
    if engine == "openvino":
        from ..runtimes.openvino_engine import OpenVinoSession

        return OpenVinoSession(path, contract, options)
    from ..runtimes.onnxruntime_engine import OnnxRuntimeSession

    return OnnxRuntimeSession(path, contract, options)
