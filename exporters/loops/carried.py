"""What a Python loop carries: names before a step against names after it become a scan's state and outputs.

A step of the user's loop is run once with stand-ins: lists in which appending is noticed, tensors of its own. What it
leaves is held against what it was given, place by place, and every place becomes one :class:`Part`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from .frames import Frames, merged
from .growing import CannotConvertError, Growing, children, closed, opened, rebuilt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(kw_only=True, slots=True)
class Results:
    """What a scan must give and gives.

    Attributes:
        initial: first values of its states.
        wanted: tensors of the first step that its outputs are, each once.
        following: the tensors of the first step that go on as states.
        reverse: whether the loop begins with the last step.
        finals: last values of its states, once the scan is there.
        outputs: its outputs with the axis of time in each, once it is there.
    """

    initial: list[Tensor] = field(default_factory=list)
    following: list[Tensor] = field(default_factory=list)
    wanted: list[Tensor] = field(default_factory=list)
    reverse: bool = False
    finals: Sequence[Tensor] = ()
    outputs: Sequence[tuple[Tensor, int]] = ()

    def state(self, initial: Tensor, following: Tensor) -> int:
        """A new state; returns its number."""
        self.initial.append(initial)
        self.following.append(following)
        return len(self.initial) - 1

    def output(self, tensor: Tensor) -> int:
        """The number of the output that this tensor of a step is."""
        for number, one in enumerate(self.wanted):
            if one is tensor:
                return number
        self.wanted.append(tensor)
        return len(self.wanted) - 1

    def last(self, tensor: Tensor) -> tuple[bool, int]:
        """Where the last step's value of this tensor is: in a state, or in an output."""
        for number, one in enumerate(self.following):
            if one is tensor:
                return True, number
        return False, self.output(tensor)

    def final(self, where: tuple[bool, int]) -> Tensor:
        """The value that :meth:`last` placed."""
        in_state, number = where
        if in_state:
            return self.finals[number]
        tensor, axis = self.outputs[number]
        return tensor.select(axis, 0 if self.reverse else -1)


class Part(Protocol):
    """One place of what a loop carries."""

    def given(self, states: Sequence[Tensor]) -> Any:  # noqa: ANN401
        """What a step gets there."""

    def gives(self, after: Any, following: list[Tensor], outputs: dict[int, Tensor]) -> None:  # noqa: ANN401
        """Take from what a step left there the next states and the outputs."""

    def result(self, results: Results) -> Any:  # noqa: ANN401
        """What is there after the loop."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """A value that the loop leaves as it is."""

    value: Any

    def given(self, _states: Sequence[Tensor]) -> Any:  # noqa: ANN401, D102
        return opened(self.value, lambda one: one)

    def gives(self, _after: Any, _following: list[Tensor], _outputs: dict[int, Tensor]) -> None:  # noqa: ANN401, D102
        pass

    def result(self, _results: Results) -> Any:  # noqa: ANN401, D102
        return self.value


@dataclass(frozen=True, kw_only=True, slots=True)
class Carried:
    """A tensor that goes from step to step."""

    state: int

    def given(self, states: Sequence[Tensor]) -> Any:  # noqa: ANN401, D102
        return states[self.state]

    def gives(self, after: Any, following: list[Tensor], _outputs: dict[int, Tensor]) -> None:  # noqa: ANN401, D102
        if not isinstance(after, Tensor):
            raise CannotConvertError(f"a step leaves a {type(after).__name__} where the step before left a tensor")
        following[self.state] = after

    def result(self, results: Results) -> Any:  # noqa: ANN401, D102
        return results.finals[self.state]


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """A container whose items are parts."""

    like: Any
    parts: tuple[Part, ...]

    def given(self, states: Sequence[Tensor]) -> Any:  # noqa: ANN401, D102
        items = [part.given(states) for part in self.parts]
        return Growing(items) if isinstance(self.like, list) else rebuilt(self.like, items)

    def gives(self, after: Any, following: list[Tensor], outputs: dict[int, Tensor]) -> None:  # noqa: ANN401, D102
        items = children(after)
        if items is None or len(items) != len(self.parts):
            raise CannotConvertError("a step leaves another nesting of values than the step before")
        for part, one in zip(self.parts, items, strict=True):
            part.gives(one, following, outputs)

    def result(self, results: Results) -> Any:  # noqa: ANN401, D102
        return rebuilt(self.like, [part.result(results) for part in self.parts])


@dataclass(frozen=True, kw_only=True, slots=True)
class Last:
    """Values that each step makes anew; after the loop the last ones are there."""

    before: Any
    tree: Any
    places: tuple[tuple[bool, int], ...]

    def given(self, _states: Sequence[Tensor]) -> Any:  # noqa: ANN401, D102
        return self.before

    def gives(self, after: Any, _following: list[Tensor], outputs: dict[int, Tensor]) -> None:  # noqa: ANN401, D102
        pairs = zip(self.places, tensors_of(closed(after)), strict=True)
        outputs.update({number: one for (in_state, number), one in pairs if not in_state})

    def result(self, results: Results) -> Any:  # noqa: ANN401, D102
        finals = iter(self.places)
        return pytree.tree_map(lambda one: results.final(next(finals)) if isinstance(one, Tensor) else one, self.tree)


@dataclass(frozen=True, kw_only=True, slots=True)
class Collected:
    """A list to which every step appends.

    Attributes:
        before: the list before the loop, or the frames that it was already.
        window: parts of the items before, where a step looks back at the last ones; empty where it does not.
        front: whether each step puts its items in front.
        many: whether a step appends more than one, stacked then.
        tree: one item.
        places: numbers of the outputs that its tensors are.
    """

    before: Any
    window: tuple[Part, ...]
    front: bool
    many: bool
    tree: Any
    places: tuple[int, ...]

    def given(self, states: Sequence[Tensor]) -> Any:  # noqa: ANN401, D102
        if isinstance(self.before, Frames):
            return Growing([], opaque=True)
        return Growing([part.given(states) for part in self.window] if self.window else self.before)

    def gives(self, after: Any, following: list[Tensor], outputs: dict[int, Tensor]) -> None:  # noqa: ANN401, D102
        count = 0 if isinstance(self.before, Frames) else len(self.before)
        items = after.items()
        for part, one in zip(self.window, items[len(items) - count :], strict=False):
            part.gives(one, following, outputs)
        new = items[: len(items) - count] if self.front else items[count:]
        outputs.update(zip(self.places, tensors_of(closed(stacked(new))), strict=True))

    def result(self, results: Results) -> Any:  # noqa: ANN401, D102
        found = [results.outputs[number] for number in self.places]
        if self.many:
            ordered = [one.movedim(axis, 0) for one, axis in found]
            found = [(merged(one.flip(0) if results.reverse else one, 0), 0) for one in ordered]
        tensors = iter([one for one, _ in found])
        tree = pytree.tree_map(lambda _: next(tensors), self.tree)
        frames = Frames(tree, [axis for _, axis in found], flipped=(results.reverse != self.front) and not self.many)
        if isinstance(self.before, Frames):
            return frames + self.before if self.front else self.before + frames
        return (
            frames + self.before
            if self.front
            else Frames(tree, frames.axes, flipped=frames.flipped, prefix=self.before)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Filled:
    """A tensor of which every step writes one place, ``out[:, t] = h``: the scan's output takes its place.

    Attributes:
        before: the tensor before the loop.
        axis: of its steps.
        place: number of the output.
        mirrored: whether step ``t`` writes the place that lies as far from the end as ``t`` from the beginning.
        take: from the step's stand-in to what it writes there.
    """

    before: Tensor
    axis: int
    place: int
    mirrored: bool
    take: Callable[[Tensor], Tensor]

    def given(self, _states: Sequence[Tensor]) -> Any:  # noqa: ANN401, D102
        return self.before

    def gives(self, after: Any, _following: list[Tensor], outputs: dict[int, Tensor]) -> None:  # noqa: ANN401, D102
        outputs[self.place] = self.take(after)

    def result(self, results: Results) -> Any:  # noqa: ANN401, D102
        tensor, axis = results.outputs[self.place]
        return (tensor.flip(axis) if self.mirrored else tensor).movedim(axis, self.axis)


def tensors_of(tree: Any) -> list[Tensor]:  # noqa: ANN401
    """The tensors of a nesting."""
    return [one for one in pytree.tree_leaves(tree) if isinstance(one, Tensor)]


def stacked(items: Sequence[Any]) -> Any:  # noqa: ANN401
    """What one step appends as one value: the item, or several stacked."""
    if len(items) == 1:
        return items[0]
    structures = {pytree.tree_structure(closed(one)) for one in items}
    if len(structures) != 1:
        _mixed()
    columns = zip(*(pytree.tree_leaves(closed(one)) for one in items), strict=True)
    joined = [torch.stack(one) if all(isinstance(part, Tensor) for part in one) else _mixed() for one in columns]
    return pytree.tree_unflatten(joined, structures.pop())


def _mixed() -> NoReturn:
    raise CannotConvertError("a step appends values of different kinds to one list")
