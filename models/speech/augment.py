"""Synthetic speech made as varied as telephones, rooms and people are.

What separates a synthesiser from a person on a line: the size of the vocal tract and the tempo (resampling changes
both, with the pitch), the room (an exponentially decaying tail), the microphone and the line (a filter, a band),
what else is heard (noise of any colour), and how loud it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..datasets.spoken import SAMPLE_RATE, resampled
from .held_out import compressed, expanded
from .tempo import retimed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Augmentation:
    """How strongly recordings are varied.

    Attributes:
        warp: a voice becomes at most this factor higher and faster, or deeper and slower.
        tempo: a part of a clip becomes longer or shorter by at most the factor ``exp(tempo)``.
        gap_s: longest silence between clips, in seconds.
        edge_s: longest silence before and behind, in seconds.
        room: share of recordings with a room.
        band: share of recordings through a line of a narrower band.
        filter_db: standard deviation of a random filter, in decibels.
        noise: share of recordings with noise.
        quietest_snr_db: of the loudest noise, in decibels; the quietest is at 45.
        coded: share of recordings in 8 bits, as telephones send them.
    """

    warp: float = 1.15
    tempo: float = 0.4
    gap_s: float = 0.25
    edge_s: float = 0.35
    room: float = 0.4
    band: float = 0.3
    filter_db: float = 4.0
    noise: float = 0.7
    quietest_snr_db: float = 12.0
    coded: float = 0.3


def recording(
    clips: Sequence[NDArray[np.int16]], settings: Augmentation, generator: np.random.Generator
) -> tuple[NDArray[np.float32], list[tuple[int, int]]]:
    """One recording of clips that one voice said, one after the other.

    Args:
        clips: int16 ``(samples,)`` each at 8 kHz; none for a recording of noise alone.
        settings: how strongly it is varied.
        generator: of everything that is left to chance.

    Returns:
        float32 ``(samples,)``, from -1 to 1; and where each clip begins and ends in it, in samples.
    """
    factor = float(np.exp(generator.uniform(-1.0, 1.0) * np.log(settings.warp)))
    parts = [_silence(settings.edge_s, generator)]
    for number, clip in enumerate(clips):
        if number:
            parts.append(_silence(settings.gap_s, generator))
        loud = 10.0 ** (generator.uniform(-6.0, 0.0) / 20.0) / max(1, int(np.abs(clip.astype(np.int32)).max()))
        spoken = resampled(clip * loud, factor)
        parts.append(retimed(spoken, settings.tempo, generator) if settings.tempo else spoken)
    ends = np.cumsum([len(part) for part in parts]).tolist()
    # Silence and clips take turns.
    spans = list(zip(ends[0::2], ends[1::2], strict=False))
    sound = np.concatenate([*parts, _silence(settings.edge_s, generator), np.zeros(STEP)])
    length = len(sound)
    # Room, filter and line in one go, with space for the tail.
    tail = _room(generator) if generator.random() < settings.room else np.ones(1)
    size = 1 << (length + len(tail) - 1).bit_length()
    curve = _filter(size, settings, generator)
    sound = np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(tail, size) * curve, size)[:length]
    peak = 10.0 ** (generator.uniform(-24.0, -1.0) / 20.0)
    loudest = np.abs(sound).max() if len(clips) else 0.0
    sound *= peak / max(loudest, 1e-9)
    if generator.random() < settings.noise or not len(clips):
        snr = generator.uniform(settings.quietest_snr_db, 45.0)
        sound += _noise(length, curve, generator) * (0.25 * peak * 10.0 ** (-snr / 20.0))
    sound = np.clip(sound, -1.0, 1.0)
    if generator.random() < settings.coded:
        return expanded(compressed(sound)), spans
    return sound.astype(np.float32), spans


#: Samples of silence at the least behind a recording's last word.
STEP = 320


def _silence(longest_s: float, generator: np.random.Generator) -> NDArray[np.float64]:
    return np.zeros(int(generator.uniform(0.0, longest_s) * SAMPLE_RATE))


def _room(generator: np.random.Generator) -> NDArray[np.float64]:
    """An impulse response: the direct sound, and noise that decays by 60 dB in up to half a second."""
    decay_s = generator.uniform(0.05, 0.5)
    time = np.arange(int(decay_s * SAMPLE_RATE)) / SAMPLE_RATE
    tail = generator.standard_normal(len(time)) * np.exp(-6.9 * time / decay_s)
    tail *= 10.0 ** (generator.uniform(-25.0, -6.0) / 20.0) / max(1e-9, float(np.sqrt((tail * tail).sum())))
    tail[0] = 1.0
    return tail


def _filter(size: int, settings: Augmentation, generator: np.random.Generator) -> NDArray[np.float64]:
    """Gains of a smooth random filter, and of a line's band, for the bins of a Fourier transform of ``size`` points."""
    octaves = np.log2(np.maximum(np.arange(size // 2 + 1) / size * SAMPLE_RATE, 50.0))
    points = np.linspace(octaves[0], octaves[-1], 8)
    decibels = np.interp(octaves, points, settings.filter_db * generator.standard_normal(len(points)))
    # A slope over all octaves: bright or dull.
    decibels += generator.normal(0.0, 2.0) * (octaves - 10.0)
    if generator.random() < settings.band:
        low, high = np.log2(generator.uniform(80.0, 400.0)), np.log2(generator.uniform(2800.0, 3900.0))
        decibels -= 24.0 * np.maximum(0.0, low - octaves) + 96.0 * np.maximum(0.0, octaves - high)
    return np.asarray(10.0 ** (decibels / 20.0))


def _noise(length: int, curve: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    """Noise of a random colour through the line, of power 1."""
    bins = generator.standard_normal((2, len(curve)))
    frequency = np.maximum(np.arange(len(curve)), 4.0)
    spectrum = (bins[0] + 1j * bins[1]) * frequency ** -generator.uniform(-0.2, 1.2) * curve
    noise = np.fft.irfft(spectrum)[:length]
    return np.asarray(noise / max(1e-12, float(np.sqrt(np.mean(noise * noise)))))
