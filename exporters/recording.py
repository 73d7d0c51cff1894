"""Recording what a Python function does to tensors, so that it can be done again, and exported on its own.

The body of a ``scan`` is recorded while the model around it is traced: at the level of torch's own functions, before
anything is taken apart, with whatever tensors it closes over noticed as inputs. Sizes that it reads from a tensor stay
sizes of that tensor.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from ..errors import CaptureError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Slot:
    """Stands for a tensor in recorded arguments."""

    number: int


@dataclass(frozen=True, slots=True)
class Size:
    """Stands for a symbolic size in recorded arguments: an expression over the sizes of input slots."""

    expression: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One recorded call of a torch function."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    results: tuple[int | None, ...]


class Recorder(TorchFunctionMode):
    """Within this block every torch function is recorded.

    Attributes:
        captured: tensors that the recorded code uses but neither was given nor made itself, in order of use.
    """

    def __init__(self, given: Sequence[Tensor]) -> None:
        """Begin with the tensors that the code is given; they fill the first slots."""
        super().__init__()
        self._slots: dict[int, int] = {}
        # Tensors are known by identity, so all of them must stay alive while the block runs.
        self._alive: list[Tensor] = []
        self._calls: list[Call] = []
        self._given = list(given)
        self.captured: list[Tensor] = []
        self._captured_slots: list[int] = []
        self._symbols: set[str] = set()
        self._measured: list[Tensor] = []
        for tensor in given:
            self._assign(tensor)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,  # noqa: ANN401  (torch's signature)
        args: Any = (),  # noqa: ANN401
        kwargs: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Call the function, and note it where it makes or changes a tensor."""
        kwargs = kwargs or {}
        # A call that changes a tensor gives it a new slot, so its arguments are noted first. Other calls are noted
        # only if they make a tensor: asking for a shape makes nobody an input.
        template = pytree.tree_map(self._template, (args, kwargs)) if changes(func) else None
        result = func(*args, **kwargs)
        leaves = pytree.tree_leaves(result)
        if template is None and any(isinstance(leaf, Tensor) for leaf in leaves):
            template = pytree.tree_map(self._template, (args, kwargs))
        elif template is None:
            self._measured += [one for one in pytree.tree_leaves(args) if isinstance(one, Tensor)]
        if template is not None:
            results = tuple(self._assign(leaf) if isinstance(leaf, Tensor) else None for leaf in leaves)
            self._calls.append(Call(function=func, args=template[0], kwargs=template[1], results=results))
        return result

    def finish(self, outputs: Sequence[Tensor]) -> Body:
        """What was recorded, as a module from the given and captured tensors to these outputs."""
        slots = [self._slot(output) for output in outputs]
        # A tensor of which only the size is used becomes an input where no other one has that size.
        for tensor in self._measured:
            sizes: Sequence[Any] = tensor.shape
            symbols = {str(size.node.expr) for size in sizes if isinstance(size, torch.SymInt)}
            if symbols & (self._symbols - self._sizes().keys()):
                self._slot(tensor)
        return Body(
            calls=self._calls,
            inputs=[*range(len(self._given)), *self._captured_slots],
            outputs=slots,
            sizes=self._sizes(),
        )

    def _template(self, value: Any) -> Any:  # noqa: ANN401
        if isinstance(value, Tensor):
            return Slot(self._slot(value))
        if isinstance(value, torch.SymInt):
            self._symbols.update(str(symbol) for symbol in value.node.expr.free_symbols)
            return Size(str(value.node.expr))
        if isinstance(value, torch.SymFloat):
            raise CaptureError(
                f"the step of a loop uses {value.node.expr}, a number made from a size. Make it a tensor before it, "
                "torch.full((), number), and use that."
            )
        if isinstance(value, slice):
            return slice(*(self._template(one) for one in (value.start, value.stop, value.step)))
        if isinstance(value, torch.Size):
            return tuple(self._template(one) for one in value)
        return value

    def _slot(self, tensor: Tensor) -> int:
        if id(tensor) not in self._slots:
            self.captured.append(tensor)
            self._captured_slots.append(self._assign(tensor))
        return self._slots[id(tensor)]

    def _assign(self, tensor: Tensor) -> int:
        self._alive.append(tensor)
        self._slots[id(tensor)] = len(self._alive) - 1
        return len(self._alive) - 1

    def _sizes(self) -> dict[str, tuple[int, int]]:
        """Where each symbol can be read: input slot and axis."""
        found: dict[str, tuple[int, int]] = {}
        for position, tensor in enumerate([*self._given, *self.captured]):
            shape: Sequence[Any] = tensor.shape  # torch types a size as int, whatever it is
            for axis, size in enumerate(shape):
                if isinstance(size, torch.SymInt):
                    found.setdefault(str(size.node.expr), (position, axis))
        return found


class Body(nn.Module):
    """A recorded function: the given tensors, then the captured ones, to its outputs."""

    def __init__(
        self,
        *,
        calls: Sequence[Call],
        inputs: Sequence[int],
        outputs: Sequence[int],
        sizes: Mapping[str, tuple[int, int]],
    ) -> None:
        """Take over a recording; :meth:`Recorder.finish` makes it."""
        super().__init__()
        self._calls = calls
        self._inputs = inputs
        self.outputs = outputs
        self._sizes = sizes

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Do again what was recorded."""
        # What is given stays as it is, even where recorded code works in place.
        in_place = any(changes(call.function) for call in self._calls)
        copies = [one.clone() for one in inputs] if in_place else inputs
        values: dict[int, Any] = dict(zip(self._inputs, copies, strict=True))
        sizes = {name: inputs[position].shape[axis] for name, (position, axis) in self._sizes.items()}

        def filled(value: Any) -> Any:  # noqa: ANN401
            if isinstance(value, Slot):
                return values[value.number]
            if isinstance(value, slice):
                return slice(*(filled(one) for one in (value.start, value.stop, value.step)))
            return _evaluate(value.expression, sizes) if isinstance(value, Size) else value

        for call in self._calls:
            args, kwargs = pytree.tree_map(filled, (call.args, call.kwargs), is_leaf=_is_placeholder)
            leaves = pytree.tree_leaves(call.function(*args, **kwargs))
            values.update({slot: leaf for slot, leaf in zip(call.results, leaves, strict=True) if slot is not None})
        return tuple(values[slot] for slot in self.outputs)


#: What torch's expressions over sizes call.
_FUNCTIONS = {
    "Min": lambda *sizes: functools.reduce(torch.sym_min, sizes),
    "Max": lambda *sizes: functools.reduce(torch.sym_max, sizes),
}


def _is_placeholder(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, Slot | Size)


def _evaluate(expression: str, sizes: Mapping[str, Any]) -> Any:  # noqa: ANN401
    try:
        # torch wrote it, over these names only.
        return eval(expression, {"__builtins__": {}}, {**_FUNCTIONS, **sizes})  # noqa: S307
    except NameError as error:
        raise CaptureError(
            f"the step of a loop uses the size {expression}, which none of its own tensors has. Read sizes from the "
            "state, the sequence or a tensor that the step uses."
        ) from error


def changes(func: Callable[..., Any]) -> bool:
    """Whether this function changes a tensor rather than making one."""
    name = getattr(func, "__name__", "")
    return name == "__setitem__" or (name.endswith("_") and not name.endswith("__"))
