"""Front ends in the graph, against the formulas in NumPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

import rnnx
from rnnx.errors import InputError
from rnnx.exporters.exporter import export
from rnnx.models.features import LogMel, Mfcc, mel_filters

SIZES = {"sample_rate": 8000, "window": 200, "hop": 80, "fft_size": 256, "num_mels": 23}


def sound(samples, rows=1, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (rows, samples)).astype(np.float32)


def by_the_book(samples, *, floor=1e-6, scale="htk", low_hz=60.0):
    """Frame by frame: cut, window, Fourier transform, power, filters, logarithm."""
    window, hop = SIZES["window"], SIZES["hop"]
    hann = np.array([0.5 - 0.5 * np.cos(2 * np.pi * n / window) for n in range(window)])
    filters = mel_filters(sample_rate=8000, fft_size=256, num_mels=23, low_hz=low_hz, scale=scale)
    frames = []
    for end in range(0, len(samples), hop):  # a frame ends with sample t * hop
        cut = np.concatenate([np.zeros(window), samples.astype(np.float64)])[end + 1 : end + 1 + window]
        assert len(cut) == window
        frames.append(np.log(np.maximum(np.abs(np.fft.rfft(cut * hann, 256)) ** 2 @ filters, floor)))
    return np.array(frames)


@pytest.mark.parametrize("scale", ["htk", "slaney"])
@pytest.mark.parametrize("samples", [1, 79, 80, 81, 1000])
def test_log_mel_is_the_formula(samples, scale):
    x = sound(samples)
    y = LogMel(**SIZES, scale=scale)(torch.from_numpy(x))
    expected = by_the_book(x[0], scale=scale)
    assert y.shape == (1, *expected.shape)
    np.testing.assert_allclose(y[0].numpy(), expected, atol=2e-3)  # near the floor a rounding of float32 is large
    np.testing.assert_allclose(y[0].exp().numpy(), np.exp(expected), rtol=1e-4, atol=1e-5)


def test_silence_is_the_floor():
    y = LogMel(**SIZES, floor=1e-3)(torch.zeros(2, 400))
    np.testing.assert_allclose(y.numpy(), np.log(1e-3), rtol=1e-6)


def test_a_tone_is_loudest_in_the_filter_around_it():
    time = np.arange(4000) / 8000
    centres = np.linspace(*(2595 * np.log10(1 + np.array([60.0, 4000.0]) / 700)), 25)[1:-1]
    for band in (3, 10, 20):
        hertz = 700 * (10 ** (centres[band] / 2595) - 1)
        y = LogMel(**SIZES)(torch.from_numpy(np.sin(2 * np.pi * hertz * time)[None].astype(np.float32)))
        assert y[0, 20:].mean(0).argmax() == band


def test_frames_look_back_only_and_rows_do_not_meet():
    front = LogMel(**SIZES)
    x = torch.from_numpy(sound(1600, rows=3))
    whole = front(x)
    lengths = torch.tensor([1600, 801, 5])
    for row, frames in enumerate(front.frames(lengths)):
        alone = front(x[row : row + 1, : lengths[row]])
        assert alone.shape[1] == frames
        torch.testing.assert_close(whole[row : row + 1, :frames], alone, rtol=1e-5, atol=1e-5)


def test_nothing_of_the_formula_is_in_a_checkpoint():
    assert not Mfcc(LogMel(**SIZES)).state_dict()


def test_mfcc_is_the_cosine_transform_of_the_log_mel_frames():
    x = sound(900, rows=2)
    front = Mfcc(LogMel(**SIZES), num_coefficients=13)
    mels = np.stack([by_the_book(row) for row in x])
    j = np.arange(23)
    expected = np.stack(
        [np.sqrt(2 / 23) * (mels * np.cos(np.pi * i * (j + 0.5) / 23)).sum(-1) for i in range(13)], axis=-1
    )
    np.testing.assert_allclose(front(torch.from_numpy(x)).numpy(), expected, atol=5e-3)
    assert front.frames(torch.tensor([900])).item() == expected.shape[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hop": 0}, "hop 0, window 200, fft_size 256: needed is 1 <= hop <= window <= fft_size"),
        ({"window": 300}, "window 300, fft_size 256"),
        ({"floor": 0.0}, "the floor is 0.0; it must be above 0"),
        ({"high_hz": 5000.0}, "from 60.0 to 5000.0 Hz at 8000 samples a second"),
        ({"num_mels": 200}, "lies between two bins of a Fourier transform of 256 points"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        LogMel(**{**SIZES, **change})


def test_more_coefficients_than_mels_are_refused():
    with pytest.raises(InputError, match="24 cepstral coefficients of 23 mels; from 1 to 23"):
        Mfcc(LogMel(**SIZES), num_coefficients=24)


class Listener(nn.Module):
    def __init__(self):
        super().__init__()
        self.front = Mfcc(LogMel(**SIZES), num_coefficients=5)
        self.gru = nn.GRU(5, 4, batch_first=True)

    def forward(self, samples):
        return self.gru(self.front(samples))[0]


@pytest.mark.slow
def test_chunks_of_sound_give_what_the_whole_gives(tmp_path):
    torch.manual_seed(0)
    model = Listener().eval()
    face = {"inputs": ["samples: float32[batch, time]"], "example": {"time": 1003}, "ranges": {"time": (161, None)}}
    export(model, **face, out=tmp_path / "mfcc.rnnx", streaming="on")
    x = sound(2411, rows=2)
    with torch.inference_mode():
        expected = model(torch.from_numpy(x)).numpy()
    with rnnx.load(tmp_path / "mfcc.rnnx", provider="cpu", mode="streaming") as session, session.stream(2) as stream:
        bounds = [0, 3, 80, 500, 501, 1777, 2411]
        found = [stream.push({"samples": x[:, a:b]}) for a, b in itertools.pairwise(bounds)]
        found.append(stream.finish())
    np.testing.assert_allclose(np.concatenate([one["output"] for one in found], 1), expected, atol=1e-5)
