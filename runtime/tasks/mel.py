"""The mel scale, and the triangular filters that are evenly spaced on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from ...errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: ``htk``: the formula of the HTK Book; ``slaney``: linear below 1 kHz, as in Slaney's Auditory Toolbox.
Scale = Literal["htk", "slaney"]

# Slaney, "Auditory Toolbox, version 2", 1998: 200/3 Hz a mel up to 1 kHz, and from there 27 mels for a factor of 6.4.
_LINEAR_HZ, _BREAK_HZ, _BREAK_MEL, _LOG_STEP = 200.0 / 3.0, 1000.0, 15.0, np.log(6.4) / 27.0


def to_mel(hertz: NDArray[np.float64], scale: Scale = "htk") -> NDArray[np.float64]:
    """Frequencies in hertz as mels.

    ``htk``: ``2595 log10(1 + f / 700)`` (Young et al., "The HTK Book", 2006, section 5.4).
    """
    if scale == "htk":
        return np.asarray(2595.0 * np.log10(1.0 + hertz / 700.0))
    above = _BREAK_MEL + np.log(np.maximum(hertz, _BREAK_HZ) / _BREAK_HZ) / _LOG_STEP
    return np.where(hertz < _BREAK_HZ, hertz / _LINEAR_HZ, above)


def to_hertz(mel: NDArray[np.float64], scale: Scale = "htk") -> NDArray[np.float64]:
    """Mels as frequencies in hertz: the inverse of :func:`to_mel`."""
    if scale == "htk":
        return np.asarray(700.0 * (10.0 ** (mel / 2595.0) - 1.0))
    return np.where(mel < _BREAK_MEL, mel * _LINEAR_HZ, _BREAK_HZ * np.exp((mel - _BREAK_MEL) * _LOG_STEP))


def mel_filters(
    *,
    sample_rate: int,
    fft_size: int,
    num_mels: int,
    low_hz: float = 0.0,
    high_hz: float | None = None,
    scale: Scale = "htk",
) -> NDArray[np.float64]:
    """Triangles on the mel scale, each from its left neighbour's centre to its right one's.

    With ``htk`` every triangle is 1 at its centre and its sides are straight in mels, as in HTK; with ``slaney`` they
    are straight in hertz and every triangle has the area 1 over hertz, as in the Auditory Toolbox.

    Args:
        sample_rate: in hertz.
        fft_size: points of the Fourier transform whose power the filters weigh.
        num_mels: number of filters.
        low_hz: where the first triangle begins.
        high_hz: where the last one ends; half the sample rate by default.
        scale: see :data:`Scale`.

    Returns:
        float64 ``(fft_size // 2 + 1, num_mels)``.

    Raises:
        InputError: the frequencies do not rise, end above half the sample rate, or a filter would hold no bin.
    """
    high = sample_rate / 2 if high_hz is None else high_hz
    if not 0 <= low_hz < high <= sample_rate / 2:
        raise InputError(
            f"mel filters from {low_hz} to {high} Hz at {sample_rate} samples a second; needed is "
            f"0 <= low_hz < high_hz <= {sample_rate / 2}."
        )
    ends = to_mel(np.array([low_hz, high]), scale)
    corners: NDArray[np.float64] = np.linspace(ends[0], ends[1], num_mels + 2, dtype=np.float64)
    bins: NDArray[np.float64] = np.arange(fft_size // 2 + 1) * np.float64(sample_rate / fft_size)
    if scale == "htk":
        at = to_mel(bins, scale)
    else:
        at, corners = bins, to_hertz(corners, scale)
    left, centre, right = corners[:-2], corners[1:-1], corners[2:]
    rising = (at[:, None] - left) / (centre - left)
    falling = (right - at[:, None]) / (right - centre)
    filters: NDArray[np.float64] = np.maximum(0.0, np.minimum(rising, falling))
    if scale == "slaney":
        filters *= 2.0 / (right - left)
    empty = np.flatnonzero(filters.sum(axis=0) == 0)
    if len(empty):
        raise InputError(
            f"mel filter {empty[0]} of {num_mels} lies between two bins of a Fourier transform of {fft_size} points. "
            "Take fewer filters, or more points."
        )
    return filters
