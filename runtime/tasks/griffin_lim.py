"""From log-mel frames to sound, in NumPy.

The bands are spread over the Fourier transform's bins again by non-negative least squares with multiplicative updates
(Lee and Seung, "Learning the parts of objects by non-negative matrix factorization", Nature 401, 1999), and phases are
found that fit the magnitudes: Griffin and Lim, "Signal estimation from modified short-time Fourier transform", IEEE
Trans. ASSP 32, 1984, in the fast form of Perraudin, Balazs and Sondergaard, "A fast Griffin-Lim algorithm", WASPAA
2013.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError, ShapeError
from ..threefry import uniform
from .mel import mel_filters

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .write_kinds import Mel

_SPREAD_ITERATIONS = 60
_BASES = {"e": np.e, "2": 2.0, "10": 10.0}
#: Smallest divisor, relative to the largest: where windows hardly reach, nothing is blown up.
_FLOOR = 1e-3
#: What magnitudes are at least, to have a phase.
_TINY = 1e-300


def mel_to_samples(frames: NDArray[Any], mel: Mel, sample_rate: int) -> NDArray[np.float32]:
    """The sound whose log-mel frames come near to these.

    Args:
        frames: float ``(frames, mels)``, logarithms.
        mel: how they were made.
        sample_rate: in hertz.

    Returns:
        float32 ``(frames * hop,)``. The same frames give the same bits on one machine.

    Raises:
        ShapeError: the frames are of another shape.
        InputError: they hold NaN or infinity, or the mel bands do not fit the sample rate.
    """
    array = np.asarray(frames, np.float64)
    if array.ndim != 2 or array.shape[1] != mel.mels:
        raise ShapeError(f"the frames have shape {array.shape}; it must be (frames, {mel.mels}).")
    if not np.isfinite(array).all():
        raise InputError("the mel frames hold NaN or infinity, so there is no sound to make.")
    if not len(array):
        return np.zeros(0, np.float32)
    bands = _BASES[mel.log] ** array
    filters = mel_filters(
        sample_rate=sample_rate,
        fft_size=mel.fft_size,
        num_mels=mel.mels,
        low_hz=mel.low_hz,
        high_hz=mel.high_hz,
        scale=mel.scale,
    )
    magnitudes = _spread(bands, filters) ** (1.0 / mel.power)
    return griffin_lim(magnitudes, mel)


def griffin_lim(magnitudes: NDArray[np.float64], mel: Mel) -> NDArray[np.float32]:
    """The sound whose short-time Fourier transform has magnitudes near to these.

    Args:
        magnitudes: float64 ``(frames, fft_size // 2 + 1)``.
        mel: sizes of the transform, iterations and momentum.

    Returns:
        float32 ``(frames * hop,)``.
    """
    count, bins = magnitudes.shape
    # Any phases would do to begin with. These are the same every time.
    turns = uniform(np.zeros(1, np.int64), np.arange(count * bins, dtype=np.int64)).reshape(count, bins)
    guess = magnitudes * np.exp(2j * np.pi * turns)
    before = np.zeros_like(guess)
    for _ in range(mel.iterations):
        fitting = _transform(_sound(guess, mel), mel, count)
        ahead = fitting + mel.momentum * (fitting - before)
        before = fitting
        guess = ahead * (magnitudes / np.maximum(np.abs(ahead), _TINY))
    sound = _sound(guess, mel)
    lead = _window(mel).size // 2 if mel.lead is None else mel.lead
    # Frame t looks at the samples around t * hop, so the first `lead` samples lie before the sound's beginning.
    wanted = np.zeros(count * mel.hop, np.float32)
    cut = sound[lead : lead + wanted.size]
    wanted[: cut.size] = cut
    return wanted


def _spread(bands: NDArray[np.float64], filters: NDArray[np.float64]) -> NDArray[np.float64]:
    """Non-negative ``(frames, bins)`` that the filters ``(bins, mels)`` gather to the bands ``(frames, mels)``."""
    tiny = 1e-12 * max(float(bands.max()), 1e-300)
    spread: NDArray[np.float64] = bands @ (filters / np.maximum(filters.sum(axis=0), 1e-12)).T + tiny
    wanted, square = bands @ filters.T, filters @ filters.T
    for _ in range(_SPREAD_ITERATIONS):
        spread *= wanted / (spread @ square + tiny)
    return spread


def _transform(sound: NDArray[np.float64], mel: Mel, count: int) -> NDArray[np.complex128]:
    """Short-time Fourier transform, ``(frames, bins)``."""
    window = _window(mel)
    pieces = np.lib.stride_tricks.sliding_window_view(sound, window.size)[:: mel.hop][:count]
    return np.fft.rfft(pieces * window, mel.fft_size, axis=1)


def _sound(transform: NDArray[np.complex128], mel: Mel) -> NDArray[np.float64]:
    """The sound whose transform is nearest: overlap and add under the window, over the windows' sum of squares."""
    window = _window(mel)
    pieces = np.fft.irfft(transform, mel.fft_size, axis=1)[:, : window.size] * window
    even: NDArray[np.float64] = _added(pieces, mel.hop) / _weight(window.size, mel.hop, len(pieces))
    return even


def _added(pieces: NDArray[np.float64], hop: int) -> NDArray[np.float64]:
    """The sum of pieces ``(count, size)`` that begin ``hop`` samples after each other."""
    count, size = pieces.shape
    parts = -(-size // hop)
    pieces = np.pad(pieces, ((0, 0), (0, parts * hop - size)))
    sound = np.zeros((count + parts - 1, hop))
    # Part by part of all pieces, which are fewer than pieces.
    for part in range(parts):
        sound[part : part + count] += pieces[:, part * hop : (part + 1) * hop]
    return sound.reshape(-1)[: (count - 1) * hop + size]


@lru_cache(maxsize=8)
def _weight(size: int, hop: int, count: int) -> NDArray[np.float64]:
    """The sum of squares of so many windows, where it is not too small to divide by."""
    squared = _hann(size) ** 2
    weight = _added(np.broadcast_to(squared, (count, size)), hop)
    enough: NDArray[np.float64] = np.maximum(weight, _FLOOR * weight.max())
    return enough


def _window(mel: Mel) -> NDArray[np.float64]:
    return _hann(mel.fft_size if mel.window is None else mel.window)


@lru_cache(maxsize=8)
def _hann(size: int) -> NDArray[np.float64]:
    """The periodic Hann window."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
