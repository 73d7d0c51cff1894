"""Shoulder exercises as a smart watch feels them, as the Python package `seglearn` carries them (BSD 3-Clause).

D. M. Burns, N. Leung, M. Hardisty, C. M. Whyne, P. Henry and S. McLachlin (2018). "Shoulder physiotherapy exercise
recognition: machine learning the inertial signals from a smartwatch". Physiological Measurement 39(7).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .packages import Package, find
from .pickled import read_arrays

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_FILE = "seglearn/data/watch_dataset.npy"

PACKAGE = Package(
    kind="wheel",
    name="seglearn",
    version="1.2.5",
    licence="BSD-3-Clause",
    files={_FILE: "eb122f23cdf06ef6bd6c6c5312958ec5cf9d038e2e6d457b8081662c75a42537"},
)

#: Steps a second.
RATE = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """One person who repeats one exercise with one arm, about 20 times.

    Attributes:
        signals: float32 `(time, 6)`, :data:`RATE` steps a second: acceleration along x, y and z in units of gravity,
            then angular velocity about x, y and z in radians per second.
        exercise: number of the exercise, 0 to 6: pendulum, abduction, forward elevation, internal rotation, external
            rotation, trapezius extension, row.
        subject: number of the person, 1 to 10.
        right: whether the watch was on the right arm.
    """

    signals: NDArray[np.float32]
    exercise: int
    subject: int
    right: bool


def load_recordings(folder: Path | None = None) -> tuple[Recording, ...]:
    """Read all recordings: ten people, seven exercises, two arms.

    Args:
        folder: holds the unpacked package; None where it is installed.

    Returns:
        140 recordings, sorted by subject, exercise and arm (left first).

    Raises:
        MissingDataError: the package is not there.
        AlteredDataError: it is another version's.
    """
    held = read_arrays(find(PACKAGE, folder)[_FILE].read_bytes()).item()
    recordings = [
        Recording(
            signals=np.asarray(signals, dtype=np.float32), exercise=int(exercise), subject=int(subject), right=side == 1
        )
        for signals, exercise, subject, side in zip(held["X"], held["y"], held["subject"], held["side"], strict=True)
    ]
    return tuple(sorted(recordings, key=lambda one: (one.subject, one.exercise, one.right)))
