"""An ``if`` in the step of a loop whose test is a tensor: both branches run, and values are chosen by ``torch.where``.

Such as ``if t == 0:``, where ``t`` is the step's number. A branch has no effect but on names, so running both is what
running one is; what cannot be chosen so is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ..standins import observing
from .frames import Frames
from .growing import UNBOUND, CannotConvertError, Growing, children, closed, opened, rebuilt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..observed import Observed


def fetch(name: Callable[[], Any]) -> Any:  # noqa: ANN401
    """The value of a name, or :data:`UNBOUND`."""
    try:
        return name()
    except NameError:
        return UNBOUND


def undecided(test: object) -> bool:
    """Whether this is a test that a graph must decide: a boolean tensor without axes, in a step."""
    observed = observing()
    if observed is None or not observed.loops or not isinstance(test, Tensor):
        return False
    return test.dtype == torch.bool and test.dim() == 0


def choose(
    test: Tensor,
    then: Callable[..., tuple[Any, ...]],
    otherwise: Callable[..., tuple[Any, ...]],
    labels: Sequence[str],
    names: Sequence[Callable[[], Any]],
) -> tuple[Any, ...]:
    """The values that names have after an ``if``; called by rewritten code.

    Args:
        test: bool, without axes.
        then: from the names' values to those after the first branch.
        otherwise: the same for the other one.
        labels: the names.
        names: give their values before the ``if``.
    """
    observed = observing()
    assert observed is not None
    before = [fetch(name) for name in names]
    writes = [loop.writes_made for loop in observed.loops]
    tensors = [one for one in pytree.tree_leaves(closed(before)) if isinstance(one, Tensor)]
    versions = [one._version for one in tensors]
    found = [_branch(run, before, observed) for run in (then, otherwise)]
    if versions != [one._version for one in tensors]:
        raise CannotConvertError("a step changes a tensor in place under a condition that only its values decide")
    if writes != [loop.writes_made for loop in observed.loops]:
        raise CannotConvertError("a step writes to a place of a tensor under a condition that only its values decide")
    if found[0] is None and found[1] is None:
        raise CannotConvertError("both branches of a condition read names that have no value yet")
    one, other = (branch or found[0] or found[1] for branch in found)
    assert one is not None
    assert other is not None
    return tuple(_chosen(test, *three) for three in zip(labels, one, other, strict=True))


def either(test: Any, then: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:  # noqa: ANN401
    """``then() if test else otherwise()``; called by rewritten code."""
    if not undecided(test):
        return then() if test else otherwise()
    return choose(test, lambda _: (then(),), lambda _: (otherwise(),), ["a conditional expression"], [lambda: None])[0]


def _branch(run: Callable[..., tuple[Any, ...]], before: Sequence[Any], observed: Observed) -> tuple[Any, ...] | None:
    """What a branch leaves; None where it reads a name that only the other one gives a value."""
    try:
        return run(*(opened(one, lambda tensor: tensor) for one in before))
    except UnboundLocalError as error:
        observed.loops[-1].missing.update(re.findall(r"'(\w+)'", str(error)))
        return None


def _chosen(test: Tensor, name: str, one: Any, other: Any) -> Any:  # noqa: ANN401
    if one is other or other is UNBOUND:
        return one
    if one is UNBOUND:
        return other
    if isinstance(one, Growing) or isinstance(other, Growing):
        return _chosen_list(test, name, one, other)
    if isinstance(one, Tensor | int | float) and isinstance(other, Tensor | int | float):
        if not isinstance(one, Tensor) and one == other:
            return one
        return torch.where(test, one, other)
    items = [children(closed(value)) for value in (one, other)]
    if items[0] is None or items[1] is None or len(items[0]) != len(items[1]) or isinstance(one, Frames):
        raise CannotConvertError(f"the branches of a condition leave values of different kinds in '{name}'")
    return rebuilt(one, [_chosen(test, name, a, b) for a, b in zip(*items, strict=True)])


def _chosen_list(test: Tensor, name: str, one: Any, other: Any) -> Any:  # noqa: ANN401
    items = [value.items() if isinstance(value, Growing) else list(value) for value in (one, other)]
    if len(items[0]) != len(items[1]):
        raise CannotConvertError(f"a step appends to '{name}' under a condition that only its values decide")
    like = one if isinstance(one, Growing) else other
    chosen = Growing([_chosen(test, name, a, b) for a, b in zip(*items, strict=True)], opaque=like.opaque)
    chosen.take_over(like)
    return chosen
