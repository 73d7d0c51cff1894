"""What rewritten sources call: a Python loop over time runs as one ``scan`` while a model is captured.

rewriting.py takes a loop's body out as a function of the names that it reads and writes, and decides nothing; here is
decided by what the loop goes over. Whatever does not fit is refused with its line and the ``rnnx.scan`` to write.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, NoReturn

from torch import Tensor

from ..standins import observing
from .answers import call
from .choosing import choose, either, fetch, undecided
from .conversion import Conversion, Site
from .frames import Frames
from .growing import UNBOUND, Growing
from .indexing import augmented, item, minus, negative, part, plus, update, write
from .walks import Track, as_walk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: The loops of the sources that are rewritten now, by the number that stands in the rewritten code.
SITES: dict[int, Site] = {}


def is_time(value: object) -> bool:
    """Whether a loop over this value goes over a dynamic axis of a model that is being captured."""
    return observing() is not None and as_walk(value) is not None


def refuse(number: int, reason: str, line: int) -> NoReturn:
    """Called in the place of a loop whose syntax shows that it cannot be converted."""
    observed = observing()
    assert observed is not None
    raise SITES[number].refusal(observed, reason, line)


def run(
    number: int,
    value: Any,  # noqa: ANN401
    step: Callable[..., tuple[Any, ...]],
    names: Sequence[Callable[[], Any]],
    watched: Sequence[Callable[[], Any]],
) -> tuple[Any, ...]:
    """All steps of a loop; called by rewritten code.

    Args:
        number: of the loop's site.
        value: what the loop goes over.
        step: from what the walk gives for one step and the values of the site's names to their next values.
        names: give those values as they are before the loop.
        watched: give the values of the other names that a step reads.
    """
    observed, walk = observing(), as_walk(value)
    assert observed is not None
    assert walk is not None
    before = [fetch(name) for name in names]
    return Conversion(SITES[number], observed, walk, step).run(before, [fetch(name) for name in watched])


def comprehend(number: int, value: Any, plain: Callable[[Any], Any], element: Callable[[Any], Any]) -> Any:  # noqa: ANN401
    """A comprehension; called by rewritten code.

    Args:
        number: of its site.
        value: what it goes over.
        plain: the comprehension itself.
        element: one element of it.
    """
    if not is_time(value):
        return plain(value)
    frames: list[Any] = []

    def step(at: Any, gathered: list[Any]) -> tuple[Any, ...]:  # noqa: ANN401
        gathered.append(element(at))
        return (gathered,)

    return run(number, value, step, [lambda: frames], [])[0]


def comprehend_if(number: int, value: Any, plain: Callable[[Any], Any], line: int) -> Any:  # noqa: ANN401
    """A comprehension with a condition; called by rewritten code."""
    if is_time(value):
        refuse(number, "it leaves steps out by a condition", line)
    return plain(value)


def unsqueezed(value: Any, plain: Callable[[Any], Any], axis: int) -> Any:  # noqa: ANN401
    """``[step.unsqueeze(axis) for step in value]``, which needs no loop over what is one tensor already."""
    walk = as_walk(value) if observing() is not None else None
    if isinstance(walk, Track) and isinstance(walk.frames.tree, Tensor):
        return walk.frames.unsqueezed(axis)
    return plain(value)


def extended(first: list[Any], value: Any, last: list[Any]) -> Any:  # noqa: ANN401
    """``[*first, *value, *last]``."""
    if isinstance(value, Growing | Frames):
        found = value + last if last else value
        return first + found if first else found
    return [*first, *value, *last]


def end_of(walk: Any) -> Any:  # noqa: ANN401
    """The number that a counting loop ends with."""
    return walk.end


def unzipped(function: Any, value: Any) -> Any:  # noqa: ANN401
    """``zip(*value)``."""
    if isinstance(value, Frames) and isinstance(value.tree, tuple):
        return value.columns()
    return function(*value)


#: What rewritten code calls.
__all__ = [
    "SITES",
    "UNBOUND",
    "Site",
    "augmented",
    "call",
    "choose",
    "comprehend",
    "comprehend_if",
    "either",
    "end_of",
    "extended",
    "fetch",
    "is_time",
    "item",
    "minus",
    "negative",
    "operator",
    "part",
    "plus",
    "refuse",
    "run",
    "undecided",
    "unsqueezed",
    "unzipped",
    "update",
    "write",
]
