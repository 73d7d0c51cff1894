"""First values that a loop can begin with: None, numbers and broadcast tensors become what one step leaves.

Also the plan: what one step was given and what it left, place by place, as parts of a scan (see carried.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from .carried import Carried, Collected, Filled, Group, Kept, Last, Part, Results, stacked, tensors_of
from .frames import Frames
from .growing import CannotConvertError, Growing, children, closed, rebuilt
from .walks import same

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(kw_only=True, slots=True)
class Settler:
    """Makes first values fit.

    Attributes:
        like: a tensor around the loop, whose device and sizes new tensors take.
        sizes: symbolic sizes that tensors around the loop have, by their expressions.
        zeroed: names that began as None.
        changed: whether anything was made to fit.
    """

    like: Tensor
    sizes: dict[str, Any]
    zeroed: list[str]
    changed: bool = False

    def settle(self, name: str, before: Any, after: Any) -> Any:  # noqa: ANN401
        """The first value for a place that holds ``before`` before a step and ``after`` behind it."""
        found = self._settle(name, before, after)
        self.changed |= found is not before
        return found

    def zeros(self, after: Any) -> Any:  # noqa: ANN401
        """Zeros for a name that has no value before the loop, and in its first step only on a branch not taken."""
        if not tensors_of(closed(after)):
            return after
        self.changed = True
        return pytree.tree_map(lambda one: self._full(one, 0) if isinstance(one, Tensor) else one, closed(after))

    def _settle(self, name: str, before: Any, after: Any) -> Any:  # noqa: ANN401, PLR0911  (one answer a kind of value)
        if before is None and after is not None and tensors_of(closed(after)):
            self.zeroed.append(name)
            return pytree.tree_map(lambda one: self._full(one, 0) if isinstance(one, Tensor) else one, closed(after))
        if isinstance(after, Tensor):
            if isinstance(before, Tensor):
                return self._fitted(name, before, after)
            if isinstance(before, bool | int | float):
                return self._full(after, before)
            raise CannotConvertError(
                f"'{name}' is a {type(before).__name__} before the loop and a tensor behind its first step; "
                "begin with a tensor"
            )
        if isinstance(before, bool | int | float) and isinstance(after, int | float) and after != before:
            return torch.full((), before, dtype=torch.get_default_dtype() if isinstance(after, float) else torch.int64)
        old, new = children(before), children(after)
        if old is None or new is None or before is after:
            return before
        if isinstance(after, Growing) and _grown(before, after):
            return self._settle_window(name, before, after)
        if len(old) != len(new):
            raise CannotConvertError(f"'{name}' holds {len(old)} values before a step and {len(new)} behind it")
        items = [self._settle(name, one, other) for one, other in zip(old, new, strict=True)]
        alike = isinstance(before, list) == isinstance(after, list) and isinstance(before, dict) == isinstance(
            after, dict
        )
        if alike and all(one is other for one, other in zip(items, old, strict=True)):
            return before
        return rebuilt(before if alike else closed(after), items)

    def _settle_window(self, name: str, before: Any, after: Growing) -> Any:  # noqa: ANN401
        if not after.looked_back or isinstance(before, Frames):
            return before
        last = after.items()[-len(before) :] if before else []
        items = [self._settle(name, one, other) for one, other in zip(before, last, strict=True)]
        return before if all(one is other for one, other in zip(items, before, strict=True)) else items

    def _fitted(self, name: str, before: Tensor, after: Tensor) -> Tensor:
        if after.dim() == before.dim() and all(map(same, before.shape, after.shape)) and before.dtype == after.dtype:
            return before
        fits = before.dim() <= after.dim() and torch.promote_types(before.dtype, after.dtype) == after.dtype
        shape: Sequence[Any] = after.shape
        pairs = zip(reversed(before.shape), reversed(shape), strict=False)
        if not fits or not all(same(one, other) or same(one, 1) for one, other in pairs):
            raise CannotConvertError(
                f"'{name}' is {before.dtype} {tuple(before.shape)} before a step and {after.dtype} "
                f"{tuple(after.shape)} behind it, and a graph can carry one dtype and shape only"
            )
        return before.to(after.dtype).expand(self._shape(after))

    def _full(self, tensor: Tensor, value: float | None) -> Tensor:
        return torch.full(self._shape(tensor), value or 0, dtype=tensor.dtype, device=self.like.device)

    def _shape(self, tensor: Tensor) -> list[Any]:
        """A step's shape in sizes of tensors around the loop, or the first step would stay in the graph for it."""
        shape: Sequence[Any] = tensor.shape
        return [self.sizes.get(str(one.node.expr), one) if isinstance(one, torch.SymInt) else one for one in shape]


def _grown(before: Any, after: Growing) -> bool:  # noqa: ANN401
    return isinstance(before, Frames) or len(after.items()) > len(before)


@dataclass(kw_only=True, slots=True)
class Planner:
    """From values before and after one step to parts.

    Attributes:
        results: takes states and outputs as parts ask for them.
        fills: how a tensor is filled, by the ``id`` of the step's stand-in for it.
    """

    results: Results
    fills: dict[int, Callable[[Tensor, Results], Filled]]

    def part(self, name: str, before: Any, stand_in: Any, after: Any, *, changed: bool) -> Part:  # noqa: ANN401
        """The part for one place.

        Args:
            name: what messages call it.
            before: the value before the loop.
            stand_in: what the step was given for it.
            after: what the step left.
            changed: whether the step may change it in place.
        """
        if isinstance(before, Tensor) and isinstance(after, Tensor):
            if after is stand_in and id(after) in self.fills:
                return self.fills[id(after)](before, self.results)
            if after is stand_in and not changed:
                return Kept(value=before)
            return Carried(state=self.results.state(before, after))
        if isinstance(after, Growing) and (isinstance(before, Frames) or _grown(before, after)):
            return self._collected(name, before, stand_in, after)
        old, new = children(before), children(after)
        given = stand_in.given if isinstance(stand_in, Growing) else children(stand_in)
        if old is None or new is None or given is None:
            if before is after or (type(before) is type(after) and not isinstance(before, Tensor) and before == after):
                return Kept(value=before)
            raise CannotConvertError(
                f"'{name}' is a {type(before).__name__} before a step and a {type(after).__name__} behind it, and only "
                "tensors can be carried"
            )
        trios = zip(old, given, new, strict=True)
        parts = tuple(self.part(name, b, s, a, changed=changed) for b, s, a in trios)
        return Kept(value=before) if all(isinstance(one, Kept) for one in parts) else Group(like=before, parts=parts)

    def last(self, before: Any, after: Any) -> Part:  # noqa: ANN401
        """The part for a name that each step makes anew."""
        if after is before:
            return Kept(value=before)
        tree = closed(after)
        return Last(before=before, tree=tree, places=tuple(self.results.last(one) for one in tensors_of(tree)))

    def _collected(self, name: str, before: Any, stand_in: Any, after: Growing) -> Part:  # noqa: ANN401
        old = [] if isinstance(before, Frames) else list(before)
        given, items = ([] if isinstance(before, Frames) else stand_in.given), after.items()
        if not items and isinstance(before, Frames):
            return Kept(value=before)
        front = after.put_in_front
        kept = items[len(items) - len(given) :] if front else items[: len(given)]
        # Items that are the same in the same order, and nothing that depends on how many they are.
        if after.looked_through or not all(one is other for one, other in zip(kept, given, strict=True)):
            raise CannotConvertError(f"a step reads or changes other places of the list '{name}' that it appends to")
        window: tuple[Part, ...] = ()
        if after.looked_back and old:
            if front:
                raise CannotConvertError(f"a step looks back in the list '{name}' that it puts values in front of")
            recent = items[len(items) - len(old) :]
            window = tuple(self.part(name, b, s, a, changed=False) for b, s, a in zip(old, given, recent, strict=True))
        new = items[: len(items) - len(given)] if front else items[len(given) :]
        if len(new) > 1 and front:
            raise CannotConvertError(f"a step puts more than one value in front of the list '{name}'")
        tree = closed(stacked(new))
        if not all(isinstance(one, Tensor) for one in pytree.tree_leaves(tree)):
            raise CannotConvertError(f"what a step appends to '{name}' is no tensor")
        places = tuple(self.results.output(one) for one in tensors_of(tree))
        return Collected(before=before, window=window, front=front, many=len(new) > 1, tree=tree, places=places)
