"""CartPole-v1 in NumPy, many poles at once: the numbers of Gymnasium's, to the last bit.

Barto, Sutton and Anderson (1983), "Neuronlike adaptive elements that can solve difficult learning control problems",
IEEE Transactions on Systems, Man, and Cybernetics 13(5). The equations of motion are those of Florian (2007), "Correct
equations for the dynamics of the cart-pole system", without friction, and the constants are Gymnasium's (MIT).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

GRAVITY = 9.8  # m/s^2
MASS_CART = 1.0  # kg
MASS_POLE = 0.1  # kg
TOTAL_MASS = MASS_POLE + MASS_CART
LENGTH = 0.5  # m, half the pole
FORCE = 10.0  # N, to the left or to the right
SECONDS = 0.02  # between two steps
EDGE = 2.4  # m from the middle, beyond which an episode ends
LEANING = 12 * 2 * math.pi / 360  # rad from upright, beyond which an episode ends
STEPS = 500  # after which an episode ends in any case
_POLE_MOMENT = MASS_POLE * LENGTH

#: What is seen of the state: the cart's position and the pole's angle, not how fast they change.
SEEN = (0, 2)


class CartPoles:
    """A batch of poles, one episode each.

    Attributes:
        state: float64 ``(batch, 4)``: position of the cart (m), its velocity (m/s), angle of the pole from upright
            (rad), its velocity (rad/s). Those of an episode that is over stay as they ended.
        steps: int64 ``(batch,)``, how many steps each episode lasted so far, the one that ended it among them: the sum
            of Gymnasium's rewards.
        running: bool ``(batch,)``, the episodes that are not over.
    """

    def __init__(self, seeds: Sequence[int] | NDArray[np.integer]) -> None:
        """Begin an episode for each seed, as Gymnasium's ``reset(seed=...)`` does: all within 0.05 of upright rest."""
        starts = [np.random.default_rng(int(seed)).uniform(low=-0.05, high=0.05, size=(4,)) for seed in seeds]
        self.state: NDArray[np.float64] = np.stack(starts)
        self.steps = np.zeros(len(starts), dtype=np.int64)
        self.running = np.ones(len(starts), dtype=bool)

    def observe(self) -> NDArray[np.float32]:
        """What a policy sees: float32 ``(batch, 2)``, position (m) and angle (rad)."""
        return self.state[:, SEEN].astype(np.float32)

    def push(self, right: NDArray[np.bool_]) -> None:
        """One step: each cart is pushed to the right or, where ``right`` (bool ``(batch,)``) is False, to the left."""
        x, x_dot, theta, theta_dot = self.state.T
        force = np.where(right, FORCE, -FORCE)
        # The order of operations is Gymnasium's: another one gives other last bits, and soon another episode.
        cosine, sine = np.cos(theta), np.sin(theta)
        temp = (force + _POLE_MOMENT * np.square(theta_dot) * sine) / TOTAL_MASS
        theta_acc = (GRAVITY * sine - cosine * temp) / (
            LENGTH * (4.0 / 3.0 - MASS_POLE * np.square(cosine) / TOTAL_MASS)
        )
        x_acc = temp - _POLE_MOMENT * theta_acc * cosine / TOTAL_MASS
        after = np.stack(
            [
                x + SECONDS * x_dot,
                x_dot + SECONDS * x_acc,
                theta + SECONDS * theta_dot,
                theta_dot + SECONDS * theta_acc,
            ],
            axis=1,
        )
        self.state = np.where(self.running[:, np.newaxis], after, self.state)
        self.steps += self.running
        fallen = (np.abs(self.state[:, 0]) > EDGE) | (np.abs(self.state[:, 2]) > LEANING)
        self.running = self.running & ~fallen & (self.steps < STEPS)
