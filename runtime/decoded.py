"""What the decoders of this folder give back, and what they ask of every batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError, ShapeError
from .ragged import integers

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Hypothesis:
    """What one row of a batch may say.

    Attributes:
        tokens: int64 ``(tokens,)``, without blanks.
        frames: int64 ``(tokens,)``, the frame at which each token begins; of the most probable alignment where a
            search sums over several.
        log_prob: natural logarithm of the model's probability: of the path (greedy), or of the labelling, summed over
            the alignments that the beam kept (prefix beam).
        score: what hypotheses are ranked by: ``log_prob``, and what a language model and a bonus add to it.
    """

    tokens: NDArray[np.int64]
    frames: NDArray[np.int64]
    log_prob: float
    score: float


def checked_lengths(lengths: ArrayLike | None, batch: int, time: int) -> NDArray[np.int64]:
    """Lengths as int64 ``(batch,)``; None is ``time`` for every row.

    Raises:
        DtypeError, ShapeError, InputError: they are no whole numbers, not one for each row, or not within 0 and time.
    """
    if lengths is None:
        return np.full(batch, time, np.int64)
    array = integers("lengths", lengths)
    if array.shape != (batch,):
        raise ShapeError(f"lengths have shape {array.shape}; they must have shape ({batch},), one for each row.")
    for row, value in enumerate(array.tolist()):
        if not 0 <= value <= time:
            raise InputError(f"length {value} of row {row} is out of range; allowed is 0 <= length <= {time}.")
    return array.astype(np.int64)


def check_whole(name: str, value: object, least: int) -> None:
    """Refuse what is no whole number from ``least``.

    Raises:
        InputError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"{name} is {value!r}; it must be a whole number from {least}.")
