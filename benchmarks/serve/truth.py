"""Sequences and what a session of one's own answers, for clients that compare every answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
import numpy as np

from ...runtime.session import load
from .material import ATOL, Names, names_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

#: Frames of a stream.
STREAM_FRAMES = 48
_STREAMS, _WHOLE = 16, 32
_MOST_ROWS, _MOST_FRAMES = 3, 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Whole:
    """A request of whole sequences.

    Attributes:
        frames: float32 ``(batch, time, features)``.
        lengths: int64 ``(batch,)``; None where the bundle takes none.
        answer: float32 ``(batch, time, hidden)``.
    """

    frames: NDArray[np.float32]
    lengths: NDArray[np.int64] | None
    answer: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Truth:
    """All that is asked and answered.

    Attributes:
        model: name of the model.
        names: of its tensors.
        streams: float32 ``(streams, 1, STREAM_FRAMES, features)``.
        answers: float32 ``(streams, 1, STREAM_FRAMES, hidden)``: those of a stream that is pushed whole.
        wholes: requests of ragged sizes.
    """

    model: str
    names: Names
    streams: NDArray[np.float32]
    answers: NDArray[np.float32]
    wholes: tuple[Whole, ...]


def find_truth(bundle: Path, *, seed: int = 0) -> Truth:
    """Draw what is asked, and answer it with sessions of this process.

    Raises:
        click.ClickException: the bundle does not answer each frame of a stream with one frame.
    """
    random = np.random.default_rng(seed)
    with load(bundle, provider="cpu", threads=1, mode="offline") as session:
        names = names_of(session.signature)
        wholes = []
        for _ in range(_WHOLE):
            rows, time = int(random.integers(1, _MOST_ROWS + 1)), int(random.integers(1, _MOST_FRAMES + 1))
            frames = random.standard_normal((rows, time, names.features)).astype(np.float32)
            lengths = random.integers(1, time + 1, rows) if names.lengths else None
            answer = session.run({names.input: frames}, lengths=lengths)[names.output]
            wholes.append(Whole(frames=frames, lengths=lengths, answer=answer))
    streams = random.standard_normal((_STREAMS, 1, STREAM_FRAMES, names.features)).astype(np.float32)
    with load(bundle, provider="cpu", threads=1, mode="streaming") as session:
        found = []
        for one in streams:
            outputs, _ = session.step({names.input: one}, session.initial_state())
            found.append(outputs[names.output])
    answers = np.stack(found)
    if answers.shape[:3] != streams.shape[:3]:
        raise click.ClickException("the bundle must answer each frame of a stream with one frame.")
    return Truth(
        model=bundle.name.removesuffix(".rnnx"), names=names, streams=streams, answers=answers, wholes=tuple(wholes)
    )


def agrees(values: NDArray[np.float32], right: NDArray[np.float32]) -> bool:
    """Whether an answer is right, within what another batch may change of its last bits."""
    return values.shape == right.shape and bool(np.abs(values - right).max(initial=0.0) <= ATOL)
