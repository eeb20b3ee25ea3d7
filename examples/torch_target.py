"""A target in a file of its own: graphs as programs of `torch.export` (`.pt2`), which torch itself runs.

    torch_target.py lite_medsam-128px --target torch --random-weights -o dist/
    torch_target.py segment dist/lite_medsam-128px-torch-fp32 picture.png --box 65,5,340,500 -o out/

In the repository the exporter lies in `exporters/`, the session in `runtimes/`, imports are relative, and a line in
`TARGETS` and one in `ENGINES` take the place of what is below `__main__`.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from sam_export.cli import main
from sam_export.contract import Array, EngineOptions, EngineReport, Graph, GraphContract, Recipe
from sam_export.errors import BundleError, ConversionError, UnsupportedError, one_line
from sam_export.exporters import TARGETS, ExportOptions
from sam_export.models import Component
from sam_export.runtimes.contract_checks import check_feeds, check_results, require_file, running
from sam_export.runtimes.engines import ENGINES


@dataclass(frozen=True)
class Torch:
    """The exporter: what `exporters/target.py` asks of a target."""

    name: str = "torch"
    extra: str = "export"
    one_bundle: bool = False
    requires: tuple[str, ...] = ("torch",)
    precisions: tuple[str, ...] = ("fp32",)
    default_precisions: tuple[str, ...] = ("fp32",)

    def devices(self, precision: str) -> tuple[str, ...]:
        del precision  # the same for all
        return ("cpu",)

    def check_options(self, options: ExportOptions) -> None:
        """No option of this target is limited."""

    def export(self, component: Component, precision: str, out_dir: Path, options: ExportOptions) -> Graph:
        """Write `<component>.pt2`; ConversionError if torch cannot."""
        del options
        contract = component.contract
        path = out_dir / f"{contract.component}.pt2"
        try:
            with torch.no_grad():
                program = torch.export.export(
                    component.module, component.example_inputs, dynamic_shapes=dynamic_axes(contract)
                )
            torch.export.save(program, path)
        except RuntimeError as exc:
            raise ConversionError(f"{contract.component} torch: cannot be exported ({one_line(exc)})") from exc
        return Graph(contract, self.name, Recipe(precision, storage="fp32", compute="fp32"), path, (path.name,))


def dynamic_axes(contract: GraphContract) -> tuple[dict[int, torch.export.Dim], ...]:
    """Return the axes of each input that the contract names; axes of one name are as long as each other."""
    axes = {name: torch.export.Dim(name) for spec in contract.inputs for name in spec.shape if isinstance(name, str)}
    return tuple({at: axes[size] for at, size in enumerate(spec.shape) if size in axes} for spec in contract.inputs)


class TorchSession:
    """The engine: `contract.Session` over a program."""

    def __init__(self, path: Path, contract: GraphContract, options: EngineOptions | None = None) -> None:
        if options is not None and options.provider not in (None, "cpu"):
            raise UnsupportedError(f"torch: provider {options.provider!r}; allowed: cpu")
        require_file(path)
        try:
            self._run = torch.export.load(path).module()
        except (RuntimeError, ValueError) as exc:
            raise BundleError(f"{path}: not a program that torch can read ({one_line(exc)}); export it again") from exc
        self._contract = contract

    @property
    def report(self) -> EngineReport:
        return EngineReport("torch", torch.__version__, "cpu", "fp32", torch.get_num_threads(), {})

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        checked = check_feeds(self._contract, feeds)
        with running(f"{self._contract.component} on torch"), torch.no_grad():
            found = self._run(*map(torch.from_numpy, checked.values()))
        outputs = (found,) if isinstance(found, torch.Tensor) else found
        results = dict(zip(self._contract.output_names, (each.numpy() for each in outputs), strict=True))
        check_results(self._contract, checked, results)
        return results


if __name__ == "__main__":
    TARGETS["torch"] = Torch()
    ENGINES["torch"] = TorchSession
    sys.exit(main())
