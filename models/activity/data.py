"""Who is learned from, who is asked, and the recordings that are asked: committed beside this module."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from ..datasets.watch import Recording

HELD_OUT = Path(__file__).with_name("held_out.npz")

#: Subjects that nothing was learned from or chosen by; those before them are 1 to 7.
TEST_SUBJECTS = (8, 9, 10)
TRAIN_SUBJECTS = (1, 2, 3, 4, 5, 6, 7)

#: Steps of a window, and from one to the next: 4 s and 2 s.
WINDOW, HOP = 200, 100

#: The committed signals are whole numbers of these, in each column's own unit: less than a hundredth of its deviation.
_UNITS = np.array([1 / 256] * 3 + [1 / 64] * 3, dtype=np.float32)
#: So many steps of each recording are committed, 20 s.
_COMMITTED = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Examples:
    """Recordings to tell.

    Attributes:
        signals: float32 `(time, 6)` each, see :class:`rnnx.models.datasets.watch.Recording`.
        exercises: int64 `(recordings,)`.
        subjects: int64 `(recordings,)`.
    """

    signals: tuple[NDArray[np.float32], ...]
    exercises: NDArray[np.int64]
    subjects: NDArray[np.int64]


def gather(recordings: Sequence[Recording], subjects: Collection[int]) -> Examples:
    """The recordings of some subjects."""
    some = [one for one in recordings if one.subject in subjects]
    return Examples(
        signals=tuple(one.signals for one in some),
        exercises=np.array([one.exercise for one in some], dtype=np.int64),
        subjects=np.array([one.subject for one in some], dtype=np.int64),
    )


def windows(signals: NDArray[np.float32]) -> NDArray[np.float32]:
    """The windows of a recording, float32 `(windows, 200, 6)`: one each 2 s, as long as it is whole."""
    return np.stack([signals[start : start + WINDOW] for start in range(0, len(signals) - WINDOW + 1, HOP)])


def pack(examples: Examples) -> dict[str, Any]:
    """The arrays that are committed: the beginnings of the recordings, as differences, which compress well."""
    beginnings = np.stack([one[:_COMMITTED] for one in examples.signals])
    whole = np.round(beginnings / _UNITS).astype(np.int16)
    return {
        "differences": np.diff(whole, axis=1, prepend=np.int16(0)).transpose(0, 2, 1).copy(),
        "exercises": examples.exercises,
        "subjects": examples.subjects,
    }


def held_out(path: Path = HELD_OUT) -> Examples:
    """Read what is committed of the held-out subjects: the first 20 s of each recording."""
    with np.load(path, allow_pickle=False) as archive:
        whole = archive["differences"].transpose(0, 2, 1).cumsum(axis=1, dtype=np.int64)
        return Examples(
            signals=tuple(whole.astype(np.float32) * _UNITS),
            exercises=archive["exercises"],
            subjects=archive["subjects"],
        )
