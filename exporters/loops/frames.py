"""A list of steps that is one tensor with a time axis: ``x.unbind(1)``, or what a converted loop has appended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ...errors import CaptureError
from ..frozen import here

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class _Stray:
    """What a list of steps holds for torch's own functions to stumble over, so that none takes it for a short list."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> NoReturn:  # noqa: ANN401
        name = getattr(func, "__name__", func)
        raise CaptureError(
            f"torch's function '{name}' is given the list of a loop over time, whose length is not known{here()}. Join "
            "it by torch.stack or torch.cat in the forward itself."
        )


class Frames(list[Any]):
    """Steps in a row, each a tensor or a nesting of tensors, as stacked tensors.

    Attributes:
        tree: tensors with a time axis, in the nesting of one step.
        axes: where that axis is in each of its tensors.
        flipped: whether the list's order is the opposite of the time axis's.
        prefix: steps that come before, in the list's order.
    """

    def __init__(
        self,
        tree: Any,  # noqa: ANN401
        axes: Sequence[int],
        *,
        flipped: bool = False,
        prefix: Sequence[Any] = (),
    ) -> None:
        """Make the list; ``axes`` are in the order of the tree's leaves."""
        super().__init__([_Stray()])
        self.tree = tree
        self.axes = tuple(axes)
        self.flipped = flipped
        self.prefix = list(prefix)

    @property
    def steps(self) -> Any:  # noqa: ANN401  (a size)
        """How many steps the tensors hold, the prefix aside."""
        return pytree.tree_leaves(self.tree)[0].shape[self.axes[0]]

    def turned(self) -> Frames:
        """The same in the opposite order."""
        whole = self.whole()
        return Frames(whole.tree, whole.axes, flipped=not whole.flipped)

    def whole(self) -> Frames:
        """The same without a prefix."""
        if not self.prefix:
            return self
        return _stacked(self.prefix) + Frames(self.tree, self.axes, flipped=self.flipped)

    def in_order(self) -> Any:  # noqa: ANN401
        """The tensors with time in the list's order, the prefix aside."""
        if not self.flipped:
            return self.tree
        return self._map(lambda tensor, axis: tensor.flip(axis))

    def stack(self, axis: int) -> Tensor:
        """``torch.stack(self, axis)``."""
        tensor, time = self._tensor()
        rank = tensor.dim()
        return tensor.movedim(time, axis % rank)

    def cat(self, axis: int) -> Tensor:
        """``torch.cat(self, axis)``."""
        tensor, time = self._tensor()
        axis %= tensor.dim() - 1
        return merged(tensor.movedim(time, axis), axis)

    def unsqueezed(self, axis: int) -> Frames:
        """``[step.unsqueeze(axis) for step in self]``."""
        tensor, time = self._tensor()
        axis %= tensor.dim()
        # The new axis stands in front of the time axis or behind it.
        return Frames(tensor.movedim(time, 0).unsqueeze(axis + 1), (0,))

    def columns(self) -> tuple[Frames, ...]:
        """``zip(*self)`` of tuples: one list for each place of them."""
        whole = self.whole()
        counts = [len(pytree.tree_leaves(one)) for one in whole.tree]
        starts = [sum(counts[:number]) for number in range(len(counts))]
        return tuple(
            Frames(one, whole.axes[start : start + count], flipped=whole.flipped)
            for one, start, count in zip(whole.tree, starts, counts, strict=True)
        )

    def take(self, number: int) -> Any:  # noqa: ANN401
        """``self[number]`` for a number that is known."""
        if 0 <= number < len(self.prefix):
            return self.prefix[number]
        if number < -1 and self.prefix:
            return self.whole().take(number)
        if number >= 0:
            number -= len(self.prefix)
        if self.flipped:
            number = -1 - number
        return self._map(lambda tensor, axis: tensor.select(axis, number))

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401
        if isinstance(index, slice):
            return self._slice(index)
        if isinstance(index, int):
            return self.take(index)
        return self._refuse("is indexed by a value that is not known")

    def _slice(self, index: slice) -> Frames:
        if index.step in {None, 1} and index.stop is None and (index.start or 0) in range(len(self.prefix) + 1):
            return Frames(self.tree, self.axes, flipped=self.flipped, prefix=self.prefix[index.start or 0 :])
        if (index.start, index.stop, index.step) == (None, None, -1):
            return self.turned()
        whole = self.whole()
        if index.step is not None and index.step < 1:
            self._refuse("is sliced backwards by numbers")
        ordered = Frames(whole.in_order(), whole.axes)
        return Frames(ordered._map(lambda tensor, axis: tensor[(slice(None),) * axis + (index,)]), whole.axes)

    def __add__(self, other: Any) -> Frames:  # noqa: ANN401
        return self._with(other, front=False)

    def __radd__(self, other: Any) -> Frames:  # noqa: ANN401
        return self._with(other, front=True)

    def __iadd__(self, other: Any) -> Frames:  # noqa: ANN401, PYI034
        self._become(self._with(other, front=False))
        return self

    def append(self, step: Any) -> None:  # noqa: ANN401
        """Put one more step at the end."""
        self._become(self._with([step], front=False))

    def insert(self, index: Any, step: Any) -> None:  # noqa: ANN401
        """Put one more step at the front."""
        if index != 0:
            self._refuse("is inserted into at another place than 0")
        self._become(self._with([step], front=True))

    def reverse(self) -> None:
        """Turn the order."""
        self._become(self.turned())

    def _with(self, steps: Sequence[Any], *, front: bool) -> Frames:
        if front:
            if isinstance(steps, Frames):
                return steps + self
            return Frames(self.tree, self.axes, flipped=self.flipped, prefix=[*steps, *self.prefix])
        if not isinstance(steps, Frames) and not steps:
            return self
        more = steps.whole() if isinstance(steps, Frames) else _stacked(list(steps))
        trees = [pytree.tree_leaves(one.in_order()) for one in (self, more)]
        joined = [
            torch.cat([one, other.movedim(its, axis)], axis)
            for one, other, axis, its in zip(*trees, self.axes, more.axes, strict=True)
        ]
        tree = pytree.tree_unflatten(joined, pytree.tree_structure(self.tree))
        return Frames(tree, self.axes, prefix=self.prefix)

    def _become(self, other: Frames) -> None:
        self.tree, self.axes, self.flipped, self.prefix = other.tree, other.axes, other.flipped, other.prefix

    def _tensor(self) -> tuple[Tensor, int]:
        whole = self.whole()
        tree = whole.in_order()
        if not isinstance(tree, Tensor):
            self._refuse("holds more than one tensor a step where torch.stack or torch.cat wants one")
        return tree, whole.axes[0]

    def _map(self, change: Any) -> Any:  # noqa: ANN401
        tensors = [change(one, axis) for one, axis in zip(pytree.tree_leaves(self.tree), self.axes, strict=True)]
        return pytree.tree_unflatten(tensors, pytree.tree_structure(self.tree))

    def _refuse(self, what: str) -> NoReturn:
        raise CaptureError(
            f"the list of a loop over time {what}{here()}. What such a list can do while a model is exported: "
            "torch.stack, torch.cat, append, [-1], [::-1], reverse(), a loop or comprehension over it."
        )

    def __iter__(self) -> Iterator[Any]:
        return self._refuse("is gone through in a place that cannot be converted")

    def __len__(self) -> int:
        return self._refuse("is asked for its length in a place that cannot be converted")

    def __bool__(self) -> bool:
        return True

    def __contains__(self, item: object) -> bool:
        return self._refuse("is asked for what it holds")


def merged(tensor: Tensor, axis: int) -> Tensor:
    """An axis and the next one as one; a copy in order, or torch asks whether a size is 1 to know the order."""
    return tensor.clone(memory_format=torch.contiguous_format).flatten(axis, axis + 1)


def _stacked(steps: list[Any]) -> Frames:
    """Steps that are there one by one as frames."""
    leaves = zip(*(pytree.tree_leaves(step) for step in steps), strict=True)
    tree = pytree.tree_unflatten([torch.stack(one) for one in leaves], pytree.tree_structure(steps[0]))
    return Frames(tree, (0,) * len(pytree.tree_leaves(tree)))
