"""What a converted loop goes over: the tensors of its walk, those that it looks at by its step number, the number."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.fx.experimental.symbolic_shapes import statically_known_true
from torch.utils import _pytree as pytree

from ..recording import Recorder, Slot, changes
from .carried import Filled, Results
from .growing import CannotConvertError
from .walks import At, Counter, Track, Walk, Zipped, leaves, same, steps_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ..observed import Observed


@dataclass(frozen=True, kw_only=True, slots=True)
class _Look:
    """A tensor that the loop looks at one step at a time: ``x[:, sign * t + offset]``."""

    owner: Tensor
    axis: int
    first: Any
    steps: Any
    step: int
    descending: bool

    def tensor(self, *, reverse: bool) -> Tensor:
        """Its steps in the order in which the scan goes over time."""
        end = self.first + (self.steps - 1) * self.step + 1
        whole = self.step == 1 and same(self.first, 0) and same(end, self.owner.shape[self.axis])
        cut = self.owner if whole else self.owner[(slice(None),) * self.axis + (slice(self.first, end, self.step),)]
        return cut if self.descending == reverse else cut.flip(self.axis)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Write:
    axis: int
    key: tuple[Any, ...]
    look: _Look
    value: Tensor


class Sequences:
    """The sequences of one loop, found while its step is run, then given to its scan.

    Attributes:
        reverse: whether the scan begins with the last step.
        changed: whether the last run of the step found something that it must be run again for.
        missing: names that a branch of the step read without there being a value yet.
        writes_made: how often a step has written to a place of a tensor.
    """

    def __init__(self, walk: Walk) -> None:
        """Begin with what the loop itself goes over."""
        self._walk = walk
        self._leaves = list(leaves(walk))
        self._counters = [one for one in self._leaves if isinstance(one, Counter)]
        self._tracks = [one for one in self._leaves if isinstance(one, Track)]
        self.reverse = all(_descends(one) for one in self._leaves)
        self.changed = False
        self.time_axis = 0
        self._numbers: dict[int, tuple[Tensor, Counter]] = {}
        self._used: list[bool] = [False] * len(self._counters)
        self._looks: dict[tuple[Any, ...], _Look] = {}
        self._now: dict[tuple[Any, ...], Tensor] = {}
        self.missing: set[str] = set()
        self.writes_made = 0
        self._recorder: Recorder | None = None
        self._stand_ins: list[tuple[Tensor, Tensor]] = []
        self._reads: dict[int, set[tuple[Any, ...]]] = {}
        self._scattered: set[int] = set()
        self._filled: set[int] = set()
        self._writes: dict[int, _Write] = {}
        self._unsqueezed: list[bool] = []
        self._seen: list[Tensor] = []

    def around(self) -> list[Tensor]:
        """The tensors around the loop that it goes over."""
        tracked = [one for track in self._tracks for one in pytree.tree_leaves(track.frames.tree)]
        return [*tracked, *(look.owner for look in self._looks.values())]

    def example(self) -> Tensor:
        """One of them, or another tensor on the same device."""
        return next(iter(self.around()), torch.empty(0))

    # Running a step.

    @contextmanager
    def exploring(self, observed: Observed, stand_ins: list[tuple[Tensor, Tensor]]) -> Iterator[tuple[Recorder, Any]]:
        """Within this block a step may be run; gives the recorder and the walk's first element.

        Args:
            observed: what is learned of the model.
            stand_ins: tensors that the step is given, each with the one around the loop that it stands for.
        """
        self.changed = False
        self._looks, self._stand_ins = {}, stand_ins
        frames = [
            one.select(axis, 0)
            for track in self._tracks
            for one, axis in zip(pytree.tree_leaves(track.frames.tree), track.frames.axes, strict=True)
        ]
        numbers = [
            torch.arange(steps_of(self._walk), device=self.example().device).select(0, 0) for _ in self._counters
        ]
        self._seen = frames
        self._recorder = Recorder([*(one for one, _ in stand_ins), *frames, *numbers])
        with self._running(observed, iter(frames), iter(numbers)) as at, self._recorder:
            yield self._recorder, at

    def explored(self, recorder: Recorder, left: Sequence[Tensor]) -> None:
        """Find out which numbers the step has used, and which tensors that it fills it has read as well."""
        taken = [one for call in recorder._calls for one in pytree.tree_leaves((call.args, call.kwargs), _is_slot)]
        used = {one.number for one in taken if isinstance(one, Slot)}
        used |= {recorder._slots[id(one)] for one in left if id(one) in recorder._slots and id(one) in self._numbers}
        for position, (number, _) in enumerate(self._numbers.values()):
            self._used[position] = recorder._slots[id(number)] in used
        for index, (stand_in, _) in enumerate(self._stand_ins):
            write = self._writes.get(id(stand_in))
            elsewhere = self._reads.get(id(stand_in), set())
            if write is None or index in self._scattered:
                wrong = bool(elsewhere)  # it is carried, so it is not what it was before the loop
            else:
                wrong = recorder._slots[id(stand_in)] in used or not self._covers(write, stand_in)
                wrong |= bool(elsewhere - {write.key})
            if wrong:
                self._scattered.add(index)
                self.changed = True
        self._recorder = None
        for call in recorder._calls:
            changed = call.args[0] if changes(call.function) and call.args else None
            if isinstance(changed, Slot) and changed.number in recorder._captured_slots:
                raise CannotConvertError("a step changes a tensor in place that is no name of its own")

    def passed(self, tensor: Tensor) -> int | None:
        """Which sequence of the walk a step's tensor is, unchanged; None where it is none."""
        return next((number for number, one in enumerate(self._seen) if one is tensor), None)

    @contextmanager
    def stepping(self, observed: Observed, frames: Sequence[Tensor]) -> Iterator[Any]:
        """Within this block the step of the scan runs; gives the walk's element."""
        given = [one.select(0, 0) if lifted else one for one, lifted in zip(frames, self._unsqueezed, strict=True)]
        tracked = sum(len(track.frames.axes) for track in self._tracks)
        looked = given[tracked : tracked + len(self._looks)]
        counted = iter(given[tracked + len(self._looks) :])
        # A number that no step uses is no sequence; something must stand for it in subscripts.
        numbers = [next(counted) if used else torch.zeros((), dtype=torch.int64) for used in self._used]
        with self._running(observed, iter(given[:tracked]), iter(numbers)) as at:
            self._now = dict(zip(self._looks, looked, strict=True))
            yield at

    @contextmanager
    def _running(self, observed: Observed, frames: Iterator[Tensor], numbers: Iterator[Tensor]) -> Iterator[Any]:
        self._numbers, self._writes, self._now, self._reads = {}, {}, {}, {}
        at = self._element(self._walk, frames, numbers)
        observed.loops.append(self)
        try:
            yield at
        finally:
            observed.loops.remove(self)

    def _element(self, walk: Walk, frames: Iterator[Tensor], numbers: Iterator[Tensor]) -> Any:  # noqa: ANN401
        if isinstance(walk, Counter):
            number = next(numbers)
            self._numbers[id(number)] = (number, walk)
            return number
        if isinstance(walk, Zipped):
            return tuple(self._element(part, frames, numbers) for part in walk.parts)
        return pytree.tree_map(lambda _: next(frames), walk.frames.tree)

    # Subscripts by the step's number.

    def knows(self, at: At) -> bool:
        """Whether this is the number of this loop's step."""
        return id(at.t) in self._numbers

    def look(self, owner: Tensor, axis: int, at: At) -> Tensor | None:
        """One step of a tensor from around the loop; None where it must be picked by number."""
        key = self._key(axis, at)
        write = self._writes.get(id(owner))
        if write is not None and write.key == key:
            return write.value
        if (id(owner), *key) in self._now:
            return self._now[id(owner), *key]
        if self._recorder is None:
            return None
        for index, (stand_in, original) in enumerate(self._stand_ins):
            # Until it is written, a place of a tensor that the step fills is what it was before the loop.
            if stand_in is owner and index not in self._scattered:
                self._reads.setdefault(id(owner), set()).add(key)
                return self._known(original, axis, at, key)
        slot = self._recorder._slots.get(id(owner))
        if slot is not None and slot not in self._recorder._captured_slots:
            return None  # the step itself has made it
        return self._known(owner, axis, at, key)

    def _known(self, owner: Tensor, axis: int, at: At, key: tuple[Any, ...]) -> Tensor | None:
        look = self._place(owner, axis, at)
        if not statically_known_true(look.first >= 0):
            return None
        self._looks[id(owner), *key] = look
        with torch._C.DisableTorchFunction():
            self._now[id(owner), *key] = owner.select(axis, 0)
        return self._now[id(owner), *key]

    def _key(self, axis: int, at: At) -> tuple[Any, ...]:
        return axis, id(self._numbers[id(at.t)][1]), at.sign, str(at.offset)

    def write(self, owner: Tensor, axis: int, at: At, value: Tensor) -> bool:
        """Note what a step writes to a place of a tensor; False where it must be put there by number."""
        self.writes_made += 1
        if self._recorder is not None:
            index = next((n for n, (one, _) in enumerate(self._stand_ins) if one is owner), None)
            if index is None or index in self._scattered:
                return False
        elif id(owner) not in self._filled:
            return False
        if id(owner) in self._writes and self._writes[id(owner)].key != self._key(axis, at):
            raise CannotConvertError("a step writes to two places of one tensor")
        shape: list[Any] = list(owner.shape)
        del shape[axis]
        self._writes[id(owner)] = _Write(
            axis=axis,
            key=self._key(axis, at),
            look=self._place(owner, axis, at),
            value=value.to(owner.dtype).expand(shape),
        )
        return True

    def fills(self) -> dict[int, Callable[[Tensor, Results], Filled]]:
        """How the tensors that the step fills are filled, by the ``id`` of its stand-ins."""
        return {id(one): self._filling(self._writes[id(one)]) for one, _ in self._stand_ins if id(one) in self._writes}

    def _filling(self, write: _Write) -> Callable[[Tensor, Results], Filled]:
        def filled(before: Tensor, results: Results) -> Filled:
            self._filled.add(id(before))
            return Filled(
                before=before,
                axis=write.axis,
                place=results.output(write.value),
                mirrored=write.look.descending != self.reverse,
                take=lambda after: self._writes[id(after)].value,
            )

        return filled

    def _covers(self, write: _Write, owner: Tensor) -> bool:
        look = write.look
        return look.step == 1 and same(look.first, 0) and same(look.steps, owner.shape[write.axis])

    def _place(self, owner: Tensor, axis: int, at: At) -> _Look:
        counter = self._numbers[id(at.t)][1]
        largest = counter.first + (counter.steps - 1) * counter.step
        first = counter.first + at.offset if at.sign > 0 else at.offset - largest
        return _Look(
            owner=owner,
            axis=axis,
            first=first,
            steps=counter.steps,
            step=counter.step,
            descending=counter.reverse != (at.sign < 0),
        )

    # For the scan.

    def settle(self) -> list[Tensor]:
        """The sequences as the scan takes them; call it once the last exploration is done."""
        found: list[tuple[Tensor, int]] = []
        for track in self._tracks:
            turned = track.frames.flipped != self.reverse
            tensors = zip(pytree.tree_leaves(track.frames.tree), track.frames.axes, strict=True)
            found += [(one.flip(axis) if turned else one, axis) for one, axis in tensors]
        found += [(look.tensor(reverse=self.reverse), look.axis) for look in self._looks.values()]
        if not found and not any(self._used):
            self._used[0] = True
        device = self.example().device
        for counter, used in zip(self._counters, self._used, strict=True):
            if used:
                numbers = torch.arange(counter.first, counter.end, counter.step, device=device)
                found.append((numbers if counter.reverse == self.reverse else numbers.flip(0), 0))
        self.time_axis = max(min(axis, 1) for _, axis in found)
        self._unsqueezed = [self.time_axis == 1 and one.dim() == 1 for one, _ in found]
        pairs = zip(found, self._unsqueezed, strict=True)
        return [one.unsqueeze(0) if lifted else one.movedim(axis, self.time_axis) for (one, axis), lifted in pairs]


def _descends(leaf: Counter | Track) -> bool:
    return leaf.reverse if isinstance(leaf, Counter) else leaf.frames.flipped


def _is_slot(value: object) -> bool:
    return isinstance(value, Slot)
