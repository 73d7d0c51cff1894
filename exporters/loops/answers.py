"""What ``range(x.size(1))``, ``x.unbind(1)``, ``zip`` and their kin give in a rewritten source while it is captured.

Python would ask each of them for a number of steps. Here they stay walks over time, so that a loop over one of them
can become a scan (see called.py). Where no dynamic axis is met, :func:`call` calls the function itself.
"""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...errors import CaptureError
from ..frozen import here
from ..standins import observing
from .frames import Frames
from .growing import Growing
from .walks import Counter, Track, Walk, Zipped, as_walk, is_dynamic, same, steps_of

if TYPE_CHECKING:
    from collections.abc import Callable


def call(function: Any, /, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
    """``function(*args, **kwargs)``, answered in our own way where that would ask for the number of steps."""
    if observing() is not None:
        for one in args:
            if isinstance(one, Growing):
                one.looked_through = True
        answer = _ANSWERS.get(_key(function))
        if answer is not None:
            found = answer(_self(function) + args, kwargs)
            if found is not NotImplemented:
                return found
    return function(*args, **kwargs)


def _key(function: Any) -> Any:  # noqa: ANN401
    if isinstance(getattr(function, "__self__", None), Tensor):
        return function.__name__
    try:
        return function if function in _ANSWERS else None
    except TypeError:  # no key of a dict
        return None


def _self(function: Any) -> tuple[Any, ...]:  # noqa: ANN401
    owner = getattr(function, "__self__", None)
    return (owner,) if isinstance(owner, Tensor) else ()


def _range(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
    if not any(is_dynamic(one) for one in args):
        return NotImplemented
    first, end, step = (0, *args, 1) if len(args) == 1 else (*args, 1)[:3]
    if is_dynamic(step) or step == 0:
        return NotImplemented
    size = abs(step)
    distance = end - first if step > 0 else first - end
    steps = distance if size == 1 else (distance + size - 1) // size
    if any(str(symbol).startswith("u") for symbol in steps.node.expr.free_symbols):
        raise CaptureError(
            f"a loop's number of steps is read from the values of a tensor{here()}. Go over the whole axis and keep "
            "what lies past a row's length: state, outputs = rnnx.scan(step, state, sequence, lengths=lengths); where "
            "the end depends on what the loop computes, use rnnx.while_loop."
        )
    lowest = first if step > 0 else (end + 1 if size == 1 else first - (steps - 1) * size)
    return Counter(first=lowest, steps=steps, step=size, reverse=step < 0)


def _len(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
    (value,) = args
    if isinstance(value, Tensor) and value.dim():
        return value.shape[0]
    walk = as_walk(value)
    return NotImplemented if walk is None else steps_of(walk)


def _reversed(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
    walk = as_walk(args[0])
    return NotImplemented if walk is None else _turned(walk)


def _turned(walk: Walk) -> Walk:
    if isinstance(walk, Counter):
        return Counter(first=walk.first, steps=walk.steps, step=walk.step, reverse=not walk.reverse)
    if isinstance(walk, Track):
        return Track(frames=walk.frames.turned())
    return Zipped(parts=tuple(_turned(part) for part in walk.parts))


def _enumerate(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
    walk = as_walk(args[0])
    if walk is None:
        return NotImplemented
    start = args[1] if len(args) > 1 else kwargs.get("start", 0)
    return Zipped(parts=(Counter(first=start, steps=steps_of(walk)), walk))


def _zip(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
    walks = [as_walk(one) for one in args]
    if all(one is None for one in walks):
        return NotImplemented
    if any(one is None for one in walks):
        raise CaptureError(
            f"zip goes over a dynamic axis and over something of a fixed length beside it{here()}. Go over tensors of "
            "one time."
        )
    return Zipped(parts=tuple(one for one in walks if one is not None))


def _list(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
    walk = as_walk(args[0]) if args else None
    return NotImplemented if walk is None else walk.frames if isinstance(walk, Track) else walk


def _unbind(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
    tensor, axis = _axis_of(args, kwargs, 1)
    return Frames(tensor, (axis,)) if is_dynamic(tensor.shape[axis]) else NotImplemented


def _split(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
    tensor, axis = _axis_of(args, kwargs, 2)
    size = args[1] if len(args) > 1 else kwargs.get("split_size_or_sections", kwargs.get("split_size"))
    if not is_dynamic(tensor.shape[axis]) or not isinstance(size, int) or size != 1:
        return NotImplemented
    return Frames(tensor.unsqueeze(axis + 1), (axis,))


def _chunk(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
    tensor, axis = _axis_of(args, kwargs, 2)
    count = args[1] if len(args) > 1 else kwargs.get("chunks")
    if not is_dynamic(tensor.shape[axis]) or not is_dynamic(count) or not same(count, tensor.shape[axis]):
        return NotImplemented
    return Frames(tensor.unsqueeze(axis + 1), (axis,))


def _axis_of(args: tuple[Any, ...], kwargs: dict[str, Any], position: int) -> tuple[Tensor, int]:
    tensor = args[0] if args else kwargs["input"]
    axis = args[position] if len(args) > position else kwargs.get("dim", 0)
    return tensor, axis % max(tensor.dim(), 1)


def _joined(how: str) -> Callable[[tuple[Any, ...], dict[str, Any]], Any]:
    def join(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
        frames = args[0] if args else kwargs.get("tensors")
        if not isinstance(frames, Frames):
            return NotImplemented
        axis = args[1] if len(args) > 1 else kwargs.get("dim", 0)
        return frames.stack(axis) if how == "stack" else frames.cat(axis)

    return join


def _sum(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
    if not isinstance(args[0], Frames):
        return NotImplemented
    return args[0].stack(0).sum(0) + (args[1] if len(args) > 1 else 0)


def _int(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
    """``int`` of a size is that size, and of a step's number that number."""
    if args and (is_dynamic(args[0]) or _is_number(args[0])):
        return args[0]
    return NotImplemented


def _float(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
    return args[0].to(torch.get_default_dtype()) if args and _is_number(args[0]) else NotImplemented


def _full(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
    """A tensor full of a step's number, which torch would ask for as a Python number."""
    size = args[0] if args else kwargs["size"]
    value = args[1] if len(args) > 1 else kwargs.get("fill_value")
    if not isinstance(value, Tensor) or not _is_number(value):
        return NotImplemented
    return value.to(kwargs.get("dtype") or value.dtype).expand(size)


def _new_full(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
    like, size, value = (*args, kwargs.get("fill_value"))[:3]
    if not isinstance(value, Tensor) or not _is_number(value):
        return NotImplemented
    return value.to(kwargs.get("dtype") or like.dtype).expand(size)


def _tensor(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
    """``torch.tensor([t])``: what torch would make from Python numbers."""
    value = args[0] if args else kwargs.get("data")
    items = list(value) if isinstance(value, list | tuple) else [value]
    numbers = [one for one in items if isinstance(one, Tensor) and _is_number(one)]
    if not items or len(numbers) != len(items):
        return NotImplemented
    made = torch.stack(numbers) if isinstance(value, list | tuple) else numbers[0].clone()
    return made.to(kwargs.get("dtype") or made.dtype)


def _is_number(value: object) -> bool:
    """Whether this is the number of a step of a loop that is being converted."""
    observed = observing()
    known = (
        isinstance(value, Tensor) and value.dim() == 0 and not value.dtype.is_floating_point and observed is not None
    )
    return known and bool(observed.loops)  # type: ignore[union-attr]


_ANSWERS: dict[Any, Callable[[tuple[Any, ...], dict[str, Any]], Any]] = {
    builtins.range: _range,
    builtins.len: _len,
    builtins.reversed: _reversed,
    builtins.enumerate: _enumerate,
    builtins.zip: _zip,
    builtins.list: _list,
    builtins.tuple: _list,
    builtins.sum: _sum,
    builtins.int: _int,
    builtins.float: _float,
    torch.full: _full,
    "new_full": _new_full,
    torch.tensor: _tensor,
    torch.as_tensor: _tensor,
    torch.unbind: _unbind,
    "unbind": _unbind,
    torch.split: _split,
    "split": _split,
    torch.chunk: _chunk,
    "chunk": _chunk,
    torch.stack: _joined("stack"),
    torch.cat: _joined("cat"),
    torch.concat: _joined("cat"),
    torch.concatenate: _joined("cat"),
}
#: Names under which a source may call them.
NAMES = frozenset(one if isinstance(one, str) else one.__name__ for one in _ANSWERS)
