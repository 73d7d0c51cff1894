"""Log-mel frames of a sound give a sound of the same frames."""

import numpy as np
import pytest

from rnnx.errors import InputError, ShapeError
from rnnx.runtime.tasks.griffin_lim import griffin_lim, mel_to_samples
from rnnx.runtime.tasks.mel import mel_filters
from rnnx.runtime.tasks.write_kinds import Mel

RATE = 8000


def sound():
    """Half a second: a rising tone with two overtones, fading in and out."""
    time = np.arange(RATE // 2) / RATE
    phase = 2 * np.pi * (150 * time + 200 * time**2)
    return (np.sin(phase) + 0.5 * np.sin(2 * phase) + 0.3 * np.sin(5 * phase)) * np.hanning(time.size) * 0.3


def magnitudes(samples, mel, lead, count):
    """By the definition: frame t begins ``lead`` samples before ``t * hop``."""
    size = mel.window or mel.fft_size
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    padded = np.concatenate([np.zeros(lead), samples, np.zeros(size)])
    return np.stack([
        np.abs(np.fft.rfft(padded[one * mel.hop : one * mel.hop + size] * window, mel.fft_size)) for one in range(count)
    ])  # fmt: skip


@pytest.mark.parametrize("lead", [None, 199, 0])
def test_magnitudes_come_back(lead):
    mel = Mel(fft_size=256, hop=50, mels=40, window=200, lead=lead, iterations=100)
    shift = 100 if lead is None else lead
    wanted = magnitudes(sound(), mel, shift, 80)
    made = griffin_lim(wanted, mel)
    assert made.shape == (4000,)
    found = magnitudes(made, mel, shift, 80)
    # Spectral convergence, -20 log10 of this: 26 dB and more; random phases alone give about 4 dB.
    assert np.linalg.norm(found - wanted) / np.linalg.norm(wanted) < 0.05


@pytest.mark.parametrize(
    "options", [{}, {"scale": "slaney"}, {"power": 1, "log": "10"}, {"log": "2", "low_hz": 60.0, "high_hz": 3800.0}]
)
def test_log_mel_frames_come_back(options):
    mel = Mel(fft_size=512, hop=64, mels=48, window=256, lead=255, **options)
    filters = mel_filters(
        sample_rate=RATE, fft_size=512, num_mels=48, low_hz=mel.low_hz, high_hz=mel.high_hz, scale=mel.scale
    )
    base = {"e": np.e, "2": 2.0, "10": 10.0}[mel.log]

    def frames(samples):
        bands = magnitudes(samples, mel, 255, 62) ** mel.power @ filters
        return np.log(np.maximum(bands, 1e-5)) / np.log(base)

    wanted = frames(sound())
    made = mel_to_samples(wanted, mel, RATE)
    found = frames(made)
    loud = wanted > wanted.max() - 3 / np.log10(base) * mel.power / 2
    # In decibels of power, where it is not nearly silent.
    assert np.abs(found - wanted)[loud].mean() * 10 * np.log10(base) * 2 / mel.power < 2.0
    assert abs(np.sqrt(np.mean(made**2)) / np.sqrt(np.mean(sound() ** 2)) - 1) < 0.1
    np.testing.assert_array_equal(made, mel_to_samples(wanted, mel, RATE))


def test_the_pitch_is_the_sounds():
    mel = Mel(fft_size=512, hop=64, mels=60, window=256)
    time = np.arange(RATE) / RATE
    tone = 0.5 * np.sin(2 * np.pi * 1000 * time)
    bands = magnitudes(tone, mel, 128, 120) ** 2 @ mel_filters(sample_rate=RATE, fft_size=512, num_mels=60)
    made = mel_to_samples(np.log(np.maximum(bands, 1e-8)), mel, RATE)
    spectrum = np.abs(np.fft.rfft(made[1000:6000] * np.hanning(5000)))
    assert abs(np.argmax(spectrum) * RATE / 5000 - 1000) < 30


def test_silence_and_nothing():
    mel = Mel(fft_size=256, hop=80, mels=40)
    assert np.abs(mel_to_samples(np.full((5, 40), -60.0), mel, RATE)).max() < 1e-6
    assert mel_to_samples(np.zeros((0, 40)), mel, RATE).shape == (0,)
    assert np.isfinite(mel_to_samples(np.zeros((1, 40)), mel, RATE)).all()


@pytest.mark.parametrize(
    ("frames", "error", "message"),
    [
        (np.zeros((3, 39)), ShapeError, r"shape \(3, 39\); it must be \(frames, 40\)"),
        (np.full((3, 40), np.nan), InputError, "NaN or infinity"),
    ],
)
def test_what_are_no_frames(frames, error, message):
    with pytest.raises(error, match=message):
        mel_to_samples(frames, Mel(fft_size=256, hop=80, mels=40), RATE)
