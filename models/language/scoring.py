"""Bits per character: how well a text was foreseen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...errors import StreamingError
from ..zoo.system import Score

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ..zoo.system import Runner
    from .data import HeldOut

#: The text is read in so many places at once, each with this many characters before it to get into.
ROWS = 16
LEAD_IN = 256
#: How much a stream is given at a time.
CHUNK = 128


def score(runner: Runner, examples: HeldOut) -> Score:
    """Bits per character over the whole text, in NumPy.

    The text is cut into :data:`ROWS` rows that are read side by side. Each begins :data:`LEAD_IN` characters early,
    and those are scored in the row before only, so that every character is scored once and (but for the first ones
    of the text) with a long past. A runner that streams is given chunks and carries its state over them.

    Args:
        runner: of the system's face.
        examples: a text of more than ``ROWS * LEAD_IN`` characters.
    """
    tokens = examples.tokens
    stride = (len(tokens) - 1 - LEAD_IN) // ROWS
    starts = np.arange(ROWS) * stride
    rows = np.stack([tokens[start : start + LEAD_IN + stride + 1] for start in starts])
    bits, right, place = np.zeros(ROWS), 0, 0
    for logits in _read(runner, rows[:, :-1]):
        targets = rows[:, place + 1 : place + 1 + logits.shape[1]]
        scored = (starts[:, np.newaxis] == 0) | (np.arange(place, place + logits.shape[1]) >= LEAD_IN)
        bits += np.where(scored, surprise(logits, targets), 0.0).sum(axis=1)
        right += int(((logits.argmax(axis=2) == targets) & scored).sum())
        place += logits.shape[1]
    total = LEAD_IN + ROWS * stride
    return Score(
        value=float(bits.sum() / total),
        count=total,
        details={
            "next character right": right / total,
            "bits per character by frequencies alone": unigram_bits(tokens[1 : total + 1], examples.seen),
            "unknown characters": float((tokens[1 : total + 1] == 0).sum()),
        },
    )


def surprise(logits: NDArray[np.floating], targets: NDArray[np.int64]) -> NDArray[np.float64]:
    """How many bits each target costs.

    Args:
        logits: ``(batch, time, symbols)``.
        targets: int64 ``(batch, time)``.

    Returns:
        float64 ``(batch, time)``: ``-log2 softmax(logits)[target]``.
    """
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=2, keepdims=True)
    of_target = np.take_along_axis(shifted, targets[..., np.newaxis], axis=2)[..., 0]
    bits: NDArray[np.float64] = (np.log(np.exp(shifted).sum(axis=2)) - of_target) / np.log(2.0)
    return bits


def unigram_bits(tokens: NDArray[np.int64], seen: NDArray[np.int64]) -> float:
    """Bits per character of a prediction that goes by frequencies alone, with one added to each (Laplace)."""
    shares = (seen + 1) / (seen + 1).sum()
    return float(-np.log2(shares[tokens]).mean())


def _read(runner: Runner, tokens: NDArray[np.int64]) -> Iterator[NDArray[np.floating]]:
    """Logits ``(batch, some time, symbols)``, one piece of time after the other."""
    try:
        stream = runner.stream()
    except StreamingError:
        yield runner.run({"tokens": tokens})["logits"]
        return
    for start in range(0, tokens.shape[1], CHUNK):
        yield stream.push({"tokens": tokens[:, start : start + CHUNK]})["logits"]
