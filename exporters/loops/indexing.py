"""Subscripts in rewritten sources: an index that is the number of a loop's step is no number to Python any more.

``x[:, t]`` becomes a step of a sequence of the loop, ``x[:, t - 1]`` one of a shifted sequence, and any other tensor
without axes an index into the graph's own values. Everything else is Python's own subscript.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ..standins import observing
from .frames import Frames
from .growing import CannotConvertError
from .walks import At

if TYPE_CHECKING:
    from collections.abc import Callable

    from .sequences import Sequences

_ALL = slice(None)


def item(owner: Any, index: Any) -> Any:  # noqa: ANN401
    """``owner[index]``."""
    found = _position(owner, index)
    if found is None:
        return owner[index]
    entries, place, axis, at = found
    loop = _loop_of(at)
    if isinstance(owner, Frames):
        return pytree.tree_unflatten(
            [_step(loop, one, its, at) for one, its in zip(pytree.tree_leaves(owner.tree), owner.axes, strict=True)],
            pytree.tree_structure(owner.tree),
        )
    return _rest(_step(loop, owner, axis, at), entries, place, axis, kept=at.kept)


def write(value: Any, owner: Any, index: Any) -> None:  # noqa: ANN401
    """``owner[index] = value``."""
    found = _position(owner, index)
    if found is None:
        owner[index] = value
        return
    entries, place, axis, at = found
    if isinstance(owner, Frames):
        raise CannotConvertError("a step writes into a list by its own number")
    value = value if isinstance(value, Tensor) else torch.as_tensor(value, dtype=owner.dtype, device=owner.device)
    if at.kept and value.dim() > axis and value.dim() == owner.dim():
        value = value.select(axis, 0)
    loop = _loop_of(at)
    rest = (*entries[:place], *entries[place + 1 :])
    if loop is not None and not all(isinstance(one, slice) and one == _ALL for one in rest):
        # A part of the step's place: the rest of it stays.
        frame = loop.look(owner, axis, at)
        if frame is not None:
            frame = frame.clone()
            write(value, frame, rest)
            value, rest = frame, ()
    whole = all(isinstance(one, slice) and one == _ALL for one in rest)
    if whole and loop is not None and loop.write(owner, axis, at, value):
        return
    number = _number(at, owner.shape[axis])
    frame = owner.index_select(axis, number.reshape(1)).squeeze(axis).clone()
    write(value, frame, rest or Ellipsis)
    owner.index_copy_(axis, number.reshape(1), frame.unsqueeze(axis))


def update(owner: Any, index: Any, change: Callable[[Any, Any], Any], value: Any) -> None:  # noqa: ANN401
    """``owner[index] += value``, and its kin."""
    if _position(owner, index) is not None:
        write(_PLAIN.get(change, change)(item(owner, index), value), owner, index)
        return
    owner[index] = change(owner[index], value)


def augmented(change: Callable[[Any, Any], Any], one: Any, other: Any) -> Any:  # noqa: ANN401
    """``one += other`` and its kin of a name: what is a number to Python is no tensor to be changed in place."""
    observed = observing()
    number = isinstance(one, Tensor) and one.dim() == 0 and observed is not None and observed.loops
    return (_PLAIN.get(change, change) if number else change)(one, other)


def plus(one: Any, other: Any) -> Any:  # noqa: ANN401
    """``one + other`` in an index."""
    left, right = _as_at(one), _as_at(other)
    if left is not None and right is None and not isinstance(other, Tensor):
        return At(t=left.t, sign=left.sign, offset=left.offset + other)
    if right is not None and left is None and not isinstance(one, Tensor):
        return At(t=right.t, sign=right.sign, offset=right.offset + one)
    return _plain(one) + _plain(other)


def minus(one: Any, other: Any) -> Any:  # noqa: ANN401
    """``one - other`` in an index."""
    left, right = _as_at(one), _as_at(other)
    if left is not None and right is None and not isinstance(other, Tensor):
        return At(t=left.t, sign=left.sign, offset=left.offset - other)
    if right is not None and left is None and not isinstance(one, Tensor):
        return At(t=right.t, sign=-right.sign, offset=one - right.offset)
    return _plain(one) - _plain(other)


def negative(one: Any) -> Any:  # noqa: ANN401
    """``-one`` in an index."""
    at = _as_at(one)
    return -one if at is None else At(t=at.t, sign=-at.sign, offset=-at.offset)


def part(start: Any, stop: Any, step: Any) -> Any:  # noqa: ANN401
    """``start:stop:step`` in an index; ``t : t + 1`` keeps the axis of one step."""
    first, end = _as_at(start), _as_at(stop)
    if first is None and end is None:
        return slice(start, stop, step)
    one_step = (
        first is not None
        and end is not None
        and first.t is end.t
        and first.sign == end.sign
        and isinstance(end.offset - first.offset, int)
        and end.offset - first.offset == 1
        and step in {None, 1}
    )
    if not one_step or first is None:
        raise CannotConvertError("a step takes a slice whose ends depend on its own number")
    return At(t=first.t, sign=first.sign, offset=first.offset, kept=True)


def _as_at(value: Any) -> At | None:  # noqa: ANN401
    if isinstance(value, At):
        return value
    observed = observing()
    if not isinstance(value, Tensor) or observed is None:
        return None
    at = At(t=value)
    return at if any(loop.knows(at) for loop in observed.loops) else None


def _plain(value: Any) -> Any:  # noqa: ANN401
    return value.sign * value.t + value.offset if isinstance(value, At) else value


def _loop_of(at: At) -> Sequences | None:
    observed = observing()
    return None if observed is None else next((loop for loop in observed.loops if loop.knows(at)), None)


def _position(owner: Any, index: Any) -> tuple[tuple[Any, ...], int, int, At] | None:  # noqa: ANN401
    """The index's entries, which of them is a step's number, of which axis, and that number; None where none is."""
    observed = observing()
    entries = index if isinstance(index, tuple) else (index,)
    if observed is None or not any(_is_number(one) for one in entries):
        return None
    if isinstance(owner, Frames) and len(entries) == 1:
        return entries, 0, 0, _at(entries[0])
    if not isinstance(owner, Tensor):
        if not observed.loops:
            return None
        raise CannotConvertError(f"a step picks from a {type(owner).__name__} by its own number")
    entries = _without_ellipsis(entries, owner.dim())
    if any(
        isinstance(one, list) or (isinstance(one, Tensor) and (one.dim() or one.dtype == torch.bool)) for one in entries
    ):
        raise CannotConvertError("a step indexes by its own number and by a tensor at once")
    numbers = [number for number, one in enumerate(entries) if _is_number(one)]
    # The outermost loop's number first: what it gives is the same for all steps of a loop within.
    place = min(numbers, key=lambda number: _depth(_at(entries[number])))
    axis = sum(one is not None for one in entries[:place])
    return entries, place, axis, _at(entries[place])


def _depth(at: At) -> int:
    observed = observing()
    assert observed is not None
    return next((depth for depth, loop in enumerate(observed.loops) if loop.knows(at)), len(observed.loops))


def _is_number(value: Any) -> bool:  # noqa: ANN401
    whole = isinstance(value, Tensor) and value.dim() == 0 and value.dtype in {torch.int64, torch.int32}
    return whole or isinstance(value, At)


def _at(value: Any) -> At:  # noqa: ANN401
    return value if isinstance(value, At) else At(t=value)


def _without_ellipsis(entries: tuple[Any, ...], rank: int) -> tuple[Any, ...]:
    place = next((number for number, one in enumerate(entries) if one is Ellipsis), None)
    if place is None:
        return entries
    missing = rank - sum(one is not None for one in entries) + 1
    return (*entries[:place], *[_ALL] * missing, *entries[place + 1 :])


def _step(loop: Sequences | None, owner: Tensor, axis: int, at: At) -> Tensor:
    frame = None if loop is None else loop.look(owner, axis, at)
    if frame is not None:
        return frame
    return owner.index_select(axis, _number(at, owner.shape[axis]).reshape(1)).squeeze(axis)


def _number(at: At, size: Any) -> Tensor:  # noqa: ANN401
    """The index as a tensor; negative ones count from the end, as Python's do."""
    number = _plain(at)
    if at.sign == 1 and isinstance(at.offset, int) and at.offset >= 0:
        return at.t + at.offset if at.offset else at.t
    return torch.where(number < 0, number + size, number)


def _rest(frame: Tensor, entries: tuple[Any, ...], place: int, axis: int, *, kept: bool) -> Any:  # noqa: ANN401
    """The rest of an index, applied to a step."""
    before, after = entries[:place], entries[place + 1 :]
    if kept:
        frame = frame.unsqueeze(axis)
        entries = (*before, _ALL, *after)
    else:
        entries = (*before, *after)
    if all(one == _ALL if isinstance(one, slice) else False for one in entries):
        return frame
    return item(frame, entries)


#: The functions that make something new, by those that may change what is there.
_PLAIN: dict[Any, Callable[[Any, Any], Any]] = {
    getattr(operator, f"i{name}"): getattr(operator, name)
    for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "lshift", "rshift", "matmul", "xor")
} | {operator.iand: operator.and_, operator.ior: operator.or_}
