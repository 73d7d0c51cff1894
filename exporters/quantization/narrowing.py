"""Which nodes to take into a lower precision: the most that stay within a budget, found by measuring.

Each node's own cost orders them. Costs add up roughly and not exactly, so the largest set of cheap nodes is found by
bisection, and every node beyond it is then tried once on its own merits. Every measurement goes through one function,
which may remember what it has measured before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What one set of nodes came to.

    Attributes:
        loss: in the budget's own unit.
        fits: whether it is within the budget, and the golden vectors pass.
        why: what was missed, or empty.
    """

    loss: float
    fits: bool
    why: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Narrowed:
    """The nodes to take.

    Attributes:
        kept: names, in the order of their cost.
        found: what they come to together.
        refused: why each of the others is left, by name.
    """

    kept: tuple[str, ...]
    found: Found
    refused: Mapping[str, str]


def narrow(order: Sequence[str], measure: Callable[[Collection[str]], Found]) -> Narrowed:
    """The most nodes that fit.

    Args:
        order: all names, the cheapest first.
        measure: what a set of names comes to.

    Returns:
        What was kept. Nothing is kept where not even the cheapest node fits; then ``found`` is the cheapest node's.
    """
    everything = measure(order)
    if everything.fits:
        return Narrowed(kept=tuple(order), found=everything, refused={})
    # The longest beginning of the order that fits: `low` nodes do, `high` do not.
    low, high = 0, len(order)
    found, missed = None, everything
    while high - low > 1:
        middle = (low + high) // 2
        tried = measure(order[:middle])
        if tried.fits:
            low, found = middle, tried
        else:
            high, missed = middle, tried
    kept = list(order[:low])
    refused = {order[low]: missed.why} if low < len(order) else {}
    for name in order[low + 1 :]:
        tried = measure([*kept, name])
        if tried.fits:
            kept.append(name)
            found = tried
        else:
            refused[name] = tried.why
    return Narrowed(kept=tuple(kept), found=found or missed, refused=refused)
