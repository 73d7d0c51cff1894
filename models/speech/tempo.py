"""The same speech at another tempo, here faster and there slower, while pitch and timbre stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: A window, from one to the next, and how far one may be moved to fit: 30, 15 and 7.5 ms at 8 kHz.
_WINDOW, _HOP, _REACH = 240, 120, 60
#: A tempo holds for so many samples, at the least and at the most: about a phone.
_LEAST, _MOST = 400, 1600


def retimed(samples: NDArray[np.float64], spread: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """Speech whose parts are each longer or shorter by a factor of their own.

    By overlapping windows, each moved to where it best goes on from the one before (Verhelst and Roelands, "An
    overlap-add technique based on waveform similarity (WSOLA) for high quality time-scale modification of speech",
    ICASSP 1993).

    Args:
        samples: float64 ``(samples,)`` at 8 kHz.
        spread: no part becomes longer or shorter than by the factor ``exp(spread)``.
        generator: of the parts and their factors.

    Returns:
        float64 ``(other samples,)``.
    """
    if len(samples) < _WINDOW + 2 * _REACH:
        return samples
    # Where each window begins: a step of the output is _HOP, of the input that divided by the part's factor.
    begins, place = [], 0.0
    until, factor = -1.0, 1.0
    while place < len(samples) - _WINDOW:
        begins.append(place)
        if place >= until:
            until = place + generator.uniform(_LEAST, _MOST)
            factor = float(np.exp(generator.uniform(-spread, spread)))
        place += _HOP / factor
    padded = np.pad(samples, (_REACH, _WINDOW + _HOP + 2 * _REACH))
    fade = np.hanning(_WINDOW + 1)[:-1]
    result = np.zeros((len(begins) + 1) * _HOP)
    chosen = _REACH
    for number, begin in enumerate(begins):
        if number:
            # What would have followed is looked for around the place that the tempo asks for.
            wanted = padded[chosen + _HOP : chosen + _HOP + _WINDOW]
            first = int(begin)
            around = padded[first : first + _WINDOW + 2 * _REACH]
            chosen = first + int(np.correlate(around, wanted).argmax())
        result[number * _HOP : number * _HOP + _WINDOW] += fade * padded[chosen : chosen + _WINDOW]
    # The first half window faded in from nothing.
    result[:_HOP] += (1.0 - fade[:_HOP]) * padded[_REACH : _REACH + _HOP]
    return result
