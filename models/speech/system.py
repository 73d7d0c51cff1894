"""Speech recognition as systems of the zoo: of whole recordings, and while somebody speaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...runtime.tasks.description import AudioRead, CtcWrite, Description
from ..zoo.system import Face, Metric, System
from .exhibit import exhibit, exhibit_streaming
from .held_out import load_held_out
from .model import build_offline, build_streaming
from .recipe import Plan, train
from .scoring import AFTER, evaluate_offline, evaluate_streaming
from .words import BLANK, SYMBOLS

if TYPE_CHECKING:
    from torch import nn

    from ..zoo.system import Training

#: Shorter recordings, 0.1 s, hold no word.
LEAST = 801

_INPUTS = ("samples: float32[batch, time]",)
# Longer than one answer, so that tracing and proof see the rate of the answers.
_SIZES = {"time": 4003}

FACE = Face(
    inputs=_INPUTS,
    lengths=("lengths",),
    outputs=("log_probs", "frames"),
    ranges={"time": (LEAST, None)},
    example=_SIZES,
    streaming="off",  # one direction begins at the end
)
STREAMING_FACE = Face(
    inputs=_INPUTS,
    outputs=("log_probs",),
    ranges={"time": (LEAST, None)},
    example=_SIZES,
    streaming="on",
)


def describe(about: str, lengths: str | None = None, *, silence: int = 0) -> Description:
    """What ``task.json`` says: sound to number words.

    Args:
        about: a sentence for people.
        lengths: the output that counts a row's answers.
        silence: samples that a recording is followed by.
    """
    return Description(
        task="speech-recognition",
        about=about,
        read=AudioRead(input="samples", sample_rate=8000, least_samples=LEAST, silence_samples=silence),
        write=CtcWrite(output="log_probs", symbols=SYMBOLS, blank=BLANK, join=" ", lengths=lengths),
    )


def train_offline(training: Training) -> nn.Module:
    """Train on what synthetic voices say (:mod:`.voices`); ``training.data`` is where their sound is kept."""
    return train(build_offline, training)


def train_streaming(training: Training) -> nn.Module:
    """Train the causal twin in the same way, but that it may tell a word 200 ms later."""
    return train(build_streaming, training, Plan(delay=5))


_METRIC = Metric(name="words right", unit="%", digits=1)

SPEECH = System(
    name="speech",
    build=build_offline,
    train=train_offline,
    face=FACE,
    assets=lambda: {"task.json": describe("Recognises English number words in a recording.", "frames").to_bytes()},
    held_out=load_held_out,
    evaluate=evaluate_offline,
    metric=_METRIC,
    int8_budget=0.03,
    exhibit=exhibit,
)

SPEECH_STREAMING = System(
    name="speech-streaming",
    build=build_streaming,
    train=train_streaming,
    face=STREAMING_FACE,
    # A word is told up to 240 ms after its end, and a file may end with it.
    assets=lambda: {
        "task.json": describe("Recognises English number words while they are said.", silence=AFTER).to_bytes()
    },
    held_out=load_held_out,
    evaluate=evaluate_streaming,
    metric=_METRIC,
    int8_budget=0.03,
    exhibit=exhibit_streaming,
)
