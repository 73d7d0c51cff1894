"""The teacher: a linear-quadratic regulator that sees the whole state, velocities among it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from .cartpole import FORCE, GRAVITY, LENGTH, MASS_POLE, SECONDS, TOTAL_MASS

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: What a step costs: deviations of position, velocity, angle and angular velocity, and the push.
_STATE_COST = (1.0, 1.0, 10.0, 1.0)
_PUSH_COST = 0.01
_ITERATIONS = 2000


@cache
def gain() -> NDArray[np.float64]:
    """The gain ``K``, float64 ``(4,)``: the best push is ``-K @ state`` newtons.

    The motion around upright, ``s' = A s + B u``, is that of :mod:`.cartpole` with sin(theta) = theta and cos = 1; the
    discrete-time Riccati equation is iterated until it stands still.
    """
    inertia = LENGTH * (4.0 / 3.0 - MASS_POLE / TOTAL_MASS)
    lever = MASS_POLE * LENGTH / TOTAL_MASS
    angle = np.array([0.0, 0.0, GRAVITY / inertia, 0.0])  # of the pole's acceleration
    push = -1 / (TOTAL_MASS * inertia)
    rates = np.array([[0, 1, 0, 0], -lever * angle, [0, 0, 0, 1], angle])
    pushed = np.array([[0.0], [1 / TOTAL_MASS - lever * push], [0.0], [push]])
    a, b = np.eye(4) + SECONDS * rates, SECONDS * pushed
    cost = np.diag(_STATE_COST)
    value = cost
    for _ in range(_ITERATIONS):
        k = np.linalg.solve(_PUSH_COST + b.T @ value @ b, b.T @ value @ a)
        value = cost + a.T @ value @ (a - b @ k)
    return np.asarray(k[0])


def wanted(state: NDArray[np.float64]) -> NDArray[np.float64]:
    """The push that the regulator wants, as a share of the only one there is: float64 ``(batch, 4)`` -> ``(batch,)``.

    Positive is to the right. Above 1 it wants more than there is; near 0 it does not matter much which way.
    """
    push: NDArray[np.float64] = -(state @ gain()) / FORCE
    return push
