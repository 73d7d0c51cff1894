"""The same exercise by somebody else: another speed, another way to wear the watch, the other arm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: What changes its sign when the body is mirrored: along x the acceleration, about y and z the angular velocity, which
#: turns the other way round in a mirror.
MIRRORED = np.array([-1, 1, 1, 1, -1, -1], dtype=np.float32)


@dataclass(frozen=True, kw_only=True, slots=True)
class Augmentation:
    """How far a window is varied; zeros leave it as it is.

    Attributes:
        speed: standard deviation of the logarithm of how much faster it goes.
        turn_degrees: standard deviation of the turn of the watch about each axis.
        strength: standard deviation of the logarithm of how much stronger its movement is.
        noise: standard deviation of what is added to each value, in the signals' own standard deviations.
        mirror: share of the windows that are of the other arm.
    """

    speed: float = 0.15
    turn_degrees: float = 8.0
    strength: float = 0.1
    noise: float = 0.05
    mirror: float = 0.5


def window(
    signals: NDArray[np.float32],
    steps: int,
    std: NDArray[np.float32],
    augmentation: Augmentation,
    generator: np.random.Generator,
) -> NDArray[np.float32]:
    """Cut a window out of a recording, and vary it.

    Args:
        signals: float32 `(time, 6)`, longer than the window.
        steps: of the window.
        std: float32 `(6,)`, of the signals.
        augmentation: how far.
        generator: of everything that is left to chance.

    Returns:
        float32 `(steps, 6)`.
    """
    longest = (len(signals) - 2) / steps
    speed = min(float(np.exp(generator.normal(0, augmentation.speed))), longest)
    moments = np.arange(steps) * speed
    taken = int(np.ceil(moments[-1])) + 2
    start = int(generator.integers(0, len(signals) - taken + 1))
    before = moments.astype(np.int64)
    share = (moments - before)[:, None].astype(np.float32)
    found = signals[start + before] * (1 - share) + signals[start + before + 1] * share
    found[:, 3:] *= speed
    if generator.random() < augmentation.mirror:
        found *= MIRRORED
    turned = rotation(generator.normal(0, np.deg2rad(augmentation.turn_degrees), 3))
    found = np.concatenate((found[:, :3] @ turned.T, found[:, 3:] @ turned.T), axis=1)
    found[:, 3:] *= np.exp(generator.normal(0, augmentation.strength))
    # Gravity stays what it is; only what moves about it is stronger.
    gravity = found[:, :3].mean(axis=0)
    found[:, :3] = gravity + (found[:, :3] - gravity) * np.exp(generator.normal(0, augmentation.strength))
    varied: NDArray[np.float32] = (found + generator.normal(0, augmentation.noise, found.shape) * std).astype(
        np.float32
    )
    return varied


def rotation(vector: NDArray[np.floating]) -> NDArray[np.float32]:
    """The matrix that turns about an axis (Rodrigues' formula).

    Args:
        vector: `(3,)`, along the axis; its length is the angle in radians.

    Returns:
        float32 `(3, 3)`.
    """
    angle = float(np.linalg.norm(vector))
    if angle == 0:
        return np.eye(3, dtype=np.float32)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turned: NDArray[np.float32] = (np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross).astype(
        np.float32
    )
    return turned
