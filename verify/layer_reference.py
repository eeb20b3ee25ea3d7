"""What every module of a component takes and gives in PyTorch, recorded while it runs once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ..contract import Array
from ..errors import UnsupportedError
from ..models import Component

# Those of LiteMedSAM's image encoder, and of MobileSAM's, are 2.0 GB.
MOST_BYTES = 6 * 10**9

# Functions that are one operation in a Core ML program, under these names.
KINDS: Mapping[Callable[..., Tensor], str] = {
    F.conv2d: "conv",
    F.conv_transpose2d: "conv_transpose",
    F.linear: "linear",
    F.layer_norm: "layer_norm",
    F.batch_norm: "batch_norm",
    F.gelu: "gelu",
    torch.sin: "sin",
    torch.cos: "cos",
}
# After input and weight.
TAKES_BIAS = (F.conv2d, F.conv_transpose2d, F.linear)


@dataclass(frozen=True, eq=False)
class ModuleValues:
    """The tensors of one call of a module, in the order of its arguments and results."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class Call:
    """One call of one of the functions above; `module` (dotted name) is the one whose code calls it."""

    kind: str
    module: str
    input: Tensor
    output: Tensor
    has_bias: bool = False


@dataclass(frozen=True, eq=False)
class ReferenceValues:
    """The values of one run. A tensor is known by its identity: what one module gives, the next one takes.

    `modules`: those called once, by their dotted names below the component; "" is the component itself.
    `outputs`: by the contract's names. `owners`: which module's own code made a tensor, by the tensor's `id`.
    """

    feeds: Mapping[str, Array]
    modules: Mapping[str, ModuleValues]
    calls: tuple[Call, ...]
    outputs: Mapping[str, Tensor]
    owners: Mapping[int, str]


class Folded:
    """Where a graph keeps the values of batch norms that have no operation of their own in it.

    Such a norm lies in the weights of the convolution before it: what the graph's convolution gives is what PyTorch's
    batch norm gives, and an error there may come from either.
    """

    def __init__(self, reference: ReferenceValues, present: Collection[str]) -> None:
        """`present`: the modules that the graph has operations of."""
        self._owners = reference.owners
        calls = [call for call in reference.calls if call.kind == "batch_norm" and call.module not in present]
        self._after = {id(call.input): call.output for call in calls}
        self._before = {id(call.output): call for call in calls}

    def last(self, tensor: Tensor) -> Tensor:
        """Return what the graph holds in the place of a module's output."""
        return self._after.get(id(tensor), tensor)

    def module(self, tensor: Tensor) -> str:
        """Return the module that made the tensor, or the innermost one around it and the norm that was folded in."""
        if id(tensor) not in self._before:
            return self._owners[id(tensor)]
        norm = self._before[id(tensor)]
        return common_module((norm.module, self._owners[id(norm.input)]))


def common_module(names: Sequence[str]) -> str:
    """Return the innermost module that holds all of these."""
    paths = [name.split(".") for name in names]
    shared = []
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return ".".join(shared)


def run_reference(component: Component, feeds: Mapping[str, Array]) -> ReferenceValues:
    """Return every module's values for `feeds`.

    Raises:
        UnsupportedError: they are more than `MOST_BYTES`, since all of them are held in memory.
    """
    contract = component.contract
    recorder = _Recorder({module: name for name, module in component.module.named_modules()})
    given = [torch.from_numpy(np.ascontiguousarray(feeds[name])) for name in contract.input_names]
    with torch.inference_mode(), _recorded(recorder):
        component.module(*given)
    modules = {name: values[0] for name, values in recorder.modules.items() if len(values) == 1}
    outputs = dict(zip(contract.output_names, modules[""].outputs, strict=True))
    return ReferenceValues(feeds, modules, tuple(recorder.calls), outputs, recorder.owners)


class _Recorder(TorchFunctionMode):
    """Sees calls of modules by their hooks, and calls of functions by torch's own interception."""

    def __init__(self, names: Mapping[nn.Module, str]) -> None:
        super().__init__()
        self.names = names
        self.modules: dict[str, list[ModuleValues]] = {}
        self.calls: list[Call] = []
        self.owners: dict[int, str] = {}
        self._running = [""]
        self._bytes = 0

    def enter(self, module: nn.Module, inputs: tuple[object, ...]) -> None:
        self._see(_tensors(inputs))
        self._running.append(self.names[module])

    def leave(self, _: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        outputs = _tensors(output)
        self._see(outputs)
        name = self._running.pop()
        self.modules.setdefault(name, []).append(ModuleValues(_tensors(inputs), outputs))

    def __torch_function__(
        self,
        func: Callable[..., Tensor],
        types: object,
        args: tuple[Tensor, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> Tensor:
        result = func(*args, **(kwargs or {}))
        if func in KINDS:
            self._see((args[0], result))
            has_bias = func in TAKES_BIAS and len(args) > 2 and args[2] is not None
            self.calls.append(Call(KINDS[func], self._running[-1], args[0], result, has_bias))
        return result

    def _see(self, tensors: tuple[Tensor, ...]) -> None:
        """A tensor that is new here was made by the module that is running."""
        for tensor in tensors:
            if id(tensor) not in self.owners:
                self.owners[id(tensor)] = self._running[-1]
                self._bytes += tensor.nbytes
        if self._bytes > MOST_BYTES:
            raise UnsupportedError(
                f"its modules' values are over {MOST_BYTES / 1e9:g} GB, the most that is held; "
                "compare the export at another precision"
            )


@contextmanager
def _recorded(recorder: _Recorder) -> Iterator[None]:
    handles = [module.register_forward_pre_hook(recorder.enter) for module in recorder.names]
    handles += [module.register_forward_hook(recorder.leave) for module in recorder.names]
    try:
        with recorder:
            yield
    finally:
        for handle in handles:
            handle.remove()


def _tensors(values: object) -> tuple[Tensor, ...]:
    if isinstance(values, Tensor):
        return (values,)
    if isinstance(values, (tuple, list)):
        return tuple(tensor for value in values for tensor in _tensors(value))
    return ()
