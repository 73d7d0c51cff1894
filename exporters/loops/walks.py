"""Walks over time: what a loop goes over whose number of steps is a dynamic axis. See answers.py for where from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.fx.experimental.symbolic_shapes import statically_known_true

from .frames import Frames

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Counter:
    """The numbers ``first, first + step, ...``, a leaf of a walk; in descending order where ``reverse``.

    Attributes:
        first: the smallest number.
        steps: how many there are.
        step: what lies between two, positive.
        reverse: whether the loop begins with the largest.
    """

    first: Any
    steps: Any
    step: int = 1
    reverse: bool = False

    @property
    def end(self) -> Any:  # noqa: ANN401  (a number, or a size)
        """What a slice over the numbers ends before."""
        return self.first + (self.steps - 1) * self.step + 1 if self.step != 1 else self.first + self.steps


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Track:
    """The steps of frames, a leaf of a walk."""

    frames: Frames


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Zipped:
    """Several walks side by side."""

    parts: tuple[Walk, ...]


Walk = Counter | Track | Zipped


@dataclass(frozen=True, kw_only=True, slots=True)
class At:
    """``sign * t + offset`` as an index: a step number, shifted or mirrored.

    Attributes:
        t: the tensor that holds the loop's number.
        sign: 1 or -1.
        offset: a number or a size.
        kept: whether the axis stays, with one step in it: ``x[:, t : t + 1]``.
    """

    t: Tensor
    sign: int = 1
    offset: Any = 0
    kept: bool = False


def leaves(walk: Walk) -> Iterator[Counter | Track]:
    """Counters and tracks in order."""
    if isinstance(walk, Zipped):
        for part in walk.parts:
            yield from leaves(part)
    else:
        yield walk


def is_dynamic(size: object) -> bool:
    """Whether this is a size that is not known while a model is captured."""
    return isinstance(size, torch.SymInt) and size.node.maybe_as_int() is None


def as_walk(value: object) -> Walk | None:
    """The walk that a loop over this value makes; None where it is no walk over a dynamic axis."""
    if isinstance(value, Counter | Track | Zipped):
        return value
    if isinstance(value, Frames):
        return Track(frames=value.whole())
    if isinstance(value, Tensor) and value.dim() and is_dynamic(value.shape[0]):
        return Track(frames=Frames(value, (0,)))
    return None


def steps_of(walk: Walk) -> Any:  # noqa: ANN401  (a size)
    """How many steps a walk has."""
    first = next(leaves(walk))
    return first.steps if isinstance(first, Counter) else first.frames.steps


def same(one: Any, other: Any) -> bool:  # noqa: ANN401
    """Whether two sizes are known to be equal, without making it a condition of the model."""
    return bool(statically_known_true(one == other))
