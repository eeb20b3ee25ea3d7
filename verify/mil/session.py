"""The Core ML package as an engine of the gate: contract names in, contract names out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...contract import Array, EngineReport, GraphContract, TensorSpec
from ...errors import ContractError
from .evaluate import Evaluator, OnTensor, Peak, Rounding
from .ops import HANDLERS
from .program import Program, load_program


class MilSession:
    """Evaluates the `.mlpackage` at `path` on any platform; satisfies `contract.Session`. It checks, never serves.

    Raises on opening:
        BundleError: not a package, or a damaged one.
        ContractError: its tensors are not those of `contract`, or a weight does not decode.
        UnsupportedError: an operation or kind of model that is not evaluated.
    """

    def __init__(self, path: Path, contract: GraphContract, rounding: Rounding = "fp16") -> None:
        program = load_program(path, HANDLERS.keys())
        _require_contract(program, contract)
        self._contract = contract
        self._evaluator = Evaluator(program, rounding)

    @property
    def report(self) -> EngineReport:
        program, rounding = self._evaluator.program, self._evaluator.rounding
        return EngineReport(
            engine="mil-reference",
            version=f"coremltools {program.coremltools_version}, torch {torch.__version__}",
            device="cpu",
            compute_precision=_compute_precision(program, rounding),
            threads=torch.get_num_threads(),
            options={"rounding": rounding, "specification_version": str(program.specification_version)},
        )

    def run(self, feeds: Mapping[str, Array], on_tensor: OnTensor | None = None) -> dict[str, Array]:
        """Return arrays by output name. Raises ContractError for feeds or results that are not the contract's."""
        outputs = self._evaluator.run(self._tensors(feeds), on_tensor)
        return {spec.name: self._result(spec, outputs[spec.name]) for spec in self._contract.outputs}

    def peaks(self, feeds: Mapping[str, Array]) -> tuple[Peak, ...]:
        """Return the largest magnitude of every computed tensor for `feeds`, before rounding."""
        return self._evaluator.peaks(self._tensors(feeds))

    def _tensors(self, feeds: Mapping[str, Array]) -> dict[str, Tensor]:
        label, names = self._label, self._contract.input_names
        if set(feeds) != set(names):
            raise ContractError(f"{label}: fed {sorted(feeds)}, inputs are {sorted(names)}; feed exactly those")
        try:
            return {port.name: port.tensor(np.asarray(feeds[port.name])) for port in self._evaluator.program.inputs}
        except ContractError as exc:
            raise ContractError(f"{label}: {exc}") from exc

    def _result(self, spec: TensorSpec, value: Tensor) -> Array:
        shape = tuple(value.shape)
        if not _fits(shape, spec.shape):
            raise ContractError(
                f"{self._label}: output {spec.name!r} has shape {list(shape)}, the contract says {list(spec.shape)}; "
                "export again"
            )
        return np.array(value.numpy(), dtype=spec.dtype, order="C")

    @property
    def _label(self) -> str:
        return self._evaluator.program.path.name


def _fits(shape: tuple[int, ...], wanted: tuple[int | str, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        isinstance(want, str) or side == want for side, want in zip(shape, wanted, strict=True)
    )


def _require_contract(program: Program, contract: GraphContract) -> None:
    label, ports = program.path.name, {port.name: port for port in program.inputs}
    for kind, found, wanted in (
        ("inputs", set(ports), set(contract.input_names)),
        ("outputs", set(program.outputs), set(contract.output_names)),
    ):
        if found != wanted:
            raise ContractError(
                f"{label}: {kind} {sorted(found)}, the {contract.component} has {sorted(wanted)}; export again"
            )
    for spec in contract.inputs:
        if not ports[spec.name].admits(spec.shape):
            raise ContractError(
                f"{label}: input {spec.name!r} allows {ports[spec.name].allowed()}, the {contract.component} has "
                f"{list(spec.shape)}; export again"
            )


def _compute_precision(program: Program, rounding: Rounding) -> str:
    """Return what the operations are rounded to: `fp32`, `fp16`, or `fp16+fp32` where the program mixes them."""
    if rounding == "none":
        return "fp32"
    declared = {output.dtype for op in program.operations if op.type != "cast" for output in op.outputs}
    return "+".join(sorted(declared & {"fp16", "fp32"})) or "fp32"
