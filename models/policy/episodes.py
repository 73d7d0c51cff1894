"""Which episodes are held out, and how long a policy lasts in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .cartpole import CartPoles

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

#: Seeds of the episodes that are scored, of those that choose the weights, and the first that may be learned from.
HELD_OUT = range(100)
VALIDATION = range(1_000, 1_050)
FIRST_LEARNED = 1_000_000


def last(
    decide: Callable[[NDArray[np.float32]], NDArray[np.bool_]], seeds: Sequence[int], *, wobble: float = 0.0
) -> NDArray[np.int64]:
    """How many steps, of 500, each episode lasts.

    Args:
        decide: called at each step with what is seen, float32 ``(seeds, 2)``; answers whether to push to the right,
            bool ``(seeds,)``. It sees episodes that are over as they ended.
        seeds: of the episodes.
        wobble: share of the pushes that chance decides instead, the same in every run.

    Returns:
        int64 ``(seeds,)``.
    """
    poles, chance = CartPoles(seeds), np.random.default_rng(0)
    while poles.running.any():
        right = decide(poles.observe())
        if wobble:
            right = np.where(chance.random(len(seeds)) < wobble, chance.random(len(seeds)) < 0.5, right)
        poles.push(right)
    return poles.steps
