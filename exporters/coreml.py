"""Core ML: an ML program in an `.mlpackage`, for iOS 16 (macOS 13) and later.

The encoder takes an RGB image, the decoder float32 multi-arrays with flexible B and N. Heavy imports wait
until something is exported.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..contract import Graph, LayerChoice, Recipe
from ..errors import ConversionError, OutputError, UnsupportedError
from ..optional import import_coremltools
from .coreml_quiet import quiet_conversion
from .target import ExportOptions

if TYPE_CHECKING:
    from ..models.components import Component

IOS_VERSIONS = (16, 17, 18)
FLOAT32_REASON = "rounding to fp16 moves what it computes by more than the rest of the graph together"
# The converter's own file of the weights, the temporary package, and the one that is kept.
COPIES = 3


class CoreMl:
    name = "coreml"
    extra = "coreml"
    one_bundle = False
    requires: tuple[str, ...] = ("coremltools",)
    precisions: tuple[str, ...] = ("fp32", "fp16")
    default_precisions: tuple[str, ...] = ("fp16",)

    def export(self, component: Component, precision: str, out_dir: Path, options: ExportOptions) -> Graph:
        """Return the component as `out_dir/<component>.mlpackage`, read back and checked.

        Raises:
            UnsupportedError: unknown iOS version.
            MissingDependencyError: coremltools is not installed.
            ConversionError: the converter failed, or its program breaks a promise of this project.
            ContractError: the saved inputs or outputs are not the contract's.
            OutputError, OSError: the package, or the converter's temporary one, cannot be written.
        """
        self.check_options(options)
        import_coremltools(purpose="Core ML export", extra=self.extra)
        from .coreml_package import package_files, write_package

        path = out_dir / f"{component.contract.component}.mlpackage"
        recipe = _recipe(component, precision, options)
        model = _converted(component, precision, options)
        write_package(model, component, path, _facts(recipe, options))
        _check_saved(path, component, recipe.precision)
        return Graph(component.contract, self.name, recipe, path, package_files(path))

    def devices(self, precision: str) -> tuple[str, ...]:
        """Return the same for every precision: Core ML chooses by itself."""
        del precision
        return ("apple",)

    def check_options(self, options: ExportOptions) -> None:
        """Raise UnsupportedError for an iOS version that cannot be targeted."""
        if options.minimum_ios not in IOS_VERSIONS:
            allowed = ", ".join(map(str, IOS_VERSIONS))
            raise UnsupportedError(f"coreml cannot target iOS {options.minimum_ios}; choose one of {allowed}")


def _converted(component: Component, precision: str, options: ExportOptions) -> Any:
    """Return the model in memory. coremltools says a full disk with errors of many kinds, so the disk is asked."""
    from .coreml_convert import convert

    try:
        return convert(component, precision, options.minimum_ios)
    except ConversionError as exc:
        folder = tempfile.gettempdir()
        free = shutil.disk_usage(folder).free
        needed = COPIES * sum(
            tensor.numel() * tensor.element_size() for tensor in component.module.state_dict().values()
        )
        if free >= needed:
            raise
        raise OutputError(
            f"{folder}: {free / 1e6:.1f} MB free, converting {component.contract.component} to coreml takes up to "
            f"{needed / 1e6:.1f} MB; free space, or set TMPDIR to another disk"
        ) from exc


def _recipe(component: Component, precision: str, options: ExportOptions) -> Recipe:
    """Storage and compute are one on Core ML, unless a quantizer rounded weights: `precision` is that of the rest."""
    from .coreml_convert import LARGEST_SIZE

    kept = component.float32_modules if precision == "fp16" else ()
    axes = {axis for spec in component.contract.inputs for axis in spec.shape if isinstance(axis, str)}
    sizes = tuple(f"{axis} from 1 to {LARGEST_SIZE[axis]}" for axis in sorted(axes))
    given = component.recipe or Recipe(precision, storage=precision, compute=precision)
    listed = {choice.pattern for choice in given.layers}
    reasons = {**dict.fromkeys(kept, FLOAT32_REASON), **component.float32_reasons}
    return replace(
        given,
        compute=precision,
        layers=(
            *given.layers,
            *(LayerChoice(module, "fp32", reasons[module]) for module in kept if module not in listed),
        ),
        notes=(*given.notes, f"iOS {options.minimum_ios} or later", *sizes),
    )


def _facts(recipe: Recipe, options: ExportOptions) -> dict[str, str]:
    """What the package says of itself beyond Core ML's own fields."""
    kept = [choice.pattern for choice in recipe.layers if choice.precision == "fp32"]
    facts = {"precision": recipe.precision, "storage": recipe.storage, "compute": recipe.compute}
    facts["minimum_ios"] = str(options.minimum_ios)
    return facts | ({"float32_modules": ", ".join(kept)} if kept else {})


def _check_saved(path: Path, component: Component, precision: str) -> None:
    from .coreml_program import check_interface, check_program

    label = f"{component.contract.component} coreml {precision}"
    spec = read_spec(path)
    check_interface(label, spec, component.contract)
    check_program(label, spec, periodic_in_float32=component.contract.component == "mask_decoder")


def read_spec(path: Path) -> Any:
    """Return the specification of a saved package (a protobuf); Core ML itself is not loaded."""
    import coremltools

    with quiet_conversion():
        return coremltools.models.MLModel(str(path), skip_model_load=True).get_spec()
