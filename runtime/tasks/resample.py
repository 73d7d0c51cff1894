"""Another sample rate, by a windowed sinc in polyphase form, in NumPy.

Resampling by ``up/down`` is: ``up - 1`` zeros between samples, a low pass at half the lower of both rates, every
``down``-th sample kept (Crochiere and Rabiner, "Multirate digital signal processing", 1983, chapter 4). Only what is
kept is computed: output ``n`` looks at input around ``n * down / up`` with the taps of one of ``up`` phases. The low
pass is a sinc under a Kaiser window (Kaiser, "Nonrecursive digital filter design using the I0-sinh window function",
1974), whose formulas tie its width to the attenuation.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, gcd, pi
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: What is kept out, in decibels, and how much of the lower rate's half the passage takes.
_ATTENUATION_DB = 80.0
_PASSAGE = 0.1
#: Products that are computed at once, so that memory stays small.
_BLOCK = 1 << 22


def resample(samples: NDArray[Any], old_rate: int, new_rate: int) -> NDArray[np.float32]:
    """Samples at another rate.

    Args:
        samples: float ``(samples,)``.
        old_rate: theirs, in hertz.
        new_rate: the one wanted, in hertz.

    Returns:
        float32 ``(ceil(samples * new_rate / old_rate),)``; the first is at the same moment as the first given. What
        lies before and behind counts as silence. Up to 90% of half the lower rate all is kept (to 0.001 dB); from 110%
        on, 80 dB are taken away.
    """
    values = np.asarray(samples, np.float32)
    divisor = gcd(old_rate, new_rate)
    up, down = new_rate // divisor, old_rate // divisor
    if up == down:
        return values.copy()
    taps = _phases(up, down)
    half = taps.shape[1] // 2 - 1  # as many taps before the moment as behind it, and one at or before it
    count = ceil(values.size * up / down)
    padded = np.concatenate((np.zeros(half, np.float32), values, np.zeros(half + 1, np.float32)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, taps.shape[1])
    found = np.empty(count, np.float32)
    block = max(1, _BLOCK // taps.shape[1])
    for start in range(0, count, block):
        place = np.arange(start, min(start + block, count)) * down
        found[start : start + place.size] = np.einsum("nt,nt->n", windows[place // up], taps[place % up])
    return found


@lru_cache(maxsize=2)  # an odd rate has a table of 150 MB
def _phases(up: int, down: int) -> NDArray[np.float32]:
    """The taps of each phase, ``(up, taps)``; tap ``k`` of phase ``p`` weighs input ``k - taps//2`` after the place."""
    cutoff = min(1.0, up / down)  # in units of half the old rate
    width = _PASSAGE * 2 * cutoff * pi  # of the passage, in radians per old sample
    half = ceil((_ATTENUATION_DB - 7.95) / (2.285 * width) / 2)
    offsets = np.arange(-half, half + 2)
    beta = 0.1102 * (_ATTENUATION_DB - 8.7)
    found = np.empty((up, offsets.size), np.float32)
    block = max(1, _BLOCK // offsets.size)
    for start in range(0, up, block):
        distance = offsets[None, :] - np.arange(start, min(start + block, up))[:, None] / up
        inside = np.clip(1 - (distance / (half + 1)) ** 2, 0, None)
        taps = cutoff * np.sinc(cutoff * distance) * np.i0(beta * np.sqrt(inside)) / np.i0(beta)
        # Each phase weighs a constant alike, so that a constant stays one.
        found[start : start + len(taps)] = taps / taps.sum(axis=1, keepdims=True)
    return found
