"""What speech recognition shows in the gallery: words that a person said, and what was read in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...runtime import ctc
from ...runtime.session import load
from ...runtime.tasks.wav import wav_bytes
from ..zoo.gallery.exhibit import Exhibit, Picture, Sound
from ..zoo.gallery.plots import COLOURS, Panel, lines
from .held_out import load_held_out
from .scoring import CHUNK, STRIDE
from .words import BLANK, SYMBOLS, text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from ..zoo.gallery.exhibit import Piece

    Hear = Callable[[NDArray[np.float32]], NDArray[np.float32]]

_RATE = 8000
#: Numbers to say, made of the held-out words.
_NUMBERS = ("seven", "eleven", "four hundred twelve", "nine thousand and six", "minus eighty three")
#: Samples of silence around each word.
_PAUSE = 1200
#: A spectrogram's window and step, in samples, and how far below its loudest point it is drawn, in decibels.
_WINDOW, _STEP, _RANGE = 256, 64, 60.0

_SOURCE = "Allison Smith said each word once for Asterisk (CC-BY-SA-3.0), and nothing was learned from her voice."


def exhibit(bundle: Path) -> Exhibit:
    """Numbers, heard as whole recordings."""
    with load(bundle) as session:

        def hear(samples: NDArray[np.float32]) -> NDArray[np.float32]:
            outputs = session.run({"samples": samples[None]}, {"lengths": np.array([len(samples)], np.int64)})
            return outputs["log_probs"][0, : int(outputs["frames"][0])]

        pieces = _pieces(hear)
    return Exhibit(about=f"Number words of a telephone voice, read from whole recordings. {_SOURCE}", pieces=pieces)


def exhibit_streaming(bundle: Path) -> Exhibit:
    """Numbers, heard 80 ms at a time."""
    with load(bundle, mode="streaming") as session:

        def hear(samples: NDArray[np.float32]) -> NDArray[np.float32]:
            whole = np.pad(samples, (0, -len(samples) % CHUNK))[None]
            with session.stream() as stream:
                told = [
                    stream.push({"samples": np.ascontiguousarray(whole[:, first : first + CHUNK])})["log_probs"]
                    for first in range(0, whole.shape[1], CHUNK)
                ]
            return np.asarray(np.concatenate(told, axis=1)[0])

        pieces = _pieces(hear)
    return Exhibit(
        about=f"Number words of a telephone voice, read while they are said, 80 ms at a time. {_SOURCE}",
        pieces=pieces,
    )


def _pieces(hear: Hear) -> tuple[Piece, ...]:
    held_out = load_held_out()
    sounds = dict(zip(held_out.words, held_out.sounds, strict=True))
    pause = np.zeros(_PAUSE, np.float32)
    pieces: list[Piece] = []
    for number in _NUMBERS:
        samples = np.concatenate([pause, *(part for word in number.split() for part in (sounds[word], pause))])
        log_probs = hear(samples)
        (told,) = ctc.greedy(log_probs[None], np.array([len(log_probs)]))
        read = text(told.tokens.tolist())
        verdict = "right" if read == number else f"it says '{number}'"
        pieces += [
            Picture(png=_draw(samples, log_probs), about=f"Read as '{read}' ({verdict})."),
            Sound(wav=wav_bytes(samples, _RATE), about=number),
        ]
    return tuple(pieces)


def _draw(samples: NDArray[np.float32], log_probs: NDArray[np.float32]) -> bytes:
    """The spectrogram, and below it the probability of each word that is the likeliest at any time; a PNG."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(samples, _WINDOW // 2), _WINDOW)[::_STEP]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(_WINDOW), axis=1))).T
    decibels = 10 * np.log10(np.maximum(power / power.max(), 10 ** (-_RANGE / 10)))
    shares = np.exp(log_probs)
    likely = shares.argmax(axis=1)
    # As many as there are colours, by their highest probability.
    shown = sorted(set(likely.tolist()) - {BLANK}, key=lambda one: -shares[:, one].max())[: len(COLOURS)]
    told = (np.arange(len(shares)) + 1) * STRIDE / _RATE
    return lines(
        Panel(
            series={},
            shades=(decibels, (0.0, len(samples) / _RATE, 0.0, _RATE / 2000)),
            ylabel="kHz",
        ),
        Panel(series={SYMBOLS[one]: (told, shares[:, one]) for one in shown}, ylabel="probability", low=0.0, high=1.05),
        xlabel="seconds",
    )
