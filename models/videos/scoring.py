"""How many clips are told exactly right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .clips import PARTS, SIDE, Part, draw, invent
from .words import decode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ..zoo.system import Runner

_ROWS = 64
#: Held-out clips of each part, and where their random numbers begin. Training and validation begin elsewhere.
_CLIPS = {"seen": 300, "unseen acts": 200, "unseen orders": 200}
_SEED = 1_000_003


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """A clip to be told.

    Attributes:
        frames: uint8 ``(time, 3, 48, 48)``.
        caption: the right sentence.
        part: what of it training never showed.
    """

    frames: NDArray[np.uint8]
    caption: str
    part: Part


def examples(count: int, seed: int, part: Part = "seen") -> tuple[Example, ...]:
    """Draw clips of one part."""
    generator = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        story = invent(generator, (part,))
        made.append(Example(frames=draw(story, generator), caption=story.caption, part=part))
    return tuple(made)


def held_out() -> tuple[Example, ...]:
    """The clips that a teller is judged by: the same ones wherever NumPy's random numbers are the same."""
    return tuple(one for part in PARTS for one in examples(_CLIPS[part], _SEED + PARTS.index(part), part))


def together(clips: Sequence[NDArray[np.uint8]]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Clips as a batch: float32 ``(batch, time, 3, 48, 48)``, 0 to 1, black behind each one's end; and lengths."""
    lengths = np.array([len(clip) for clip in clips], dtype=np.int64)
    frames = np.zeros((len(clips), int(lengths.max()), 3, SIDE, SIDE), np.float32)
    for row, clip in zip(frames, clips, strict=True):
        row[: len(clip)] = clip.astype(np.float32) / np.float32(255)
    return frames, lengths


def by_length(clips: Sequence[NDArray[np.uint8]], rows: int) -> Iterator[list[int]]:
    """Which clips go together: those of like length, at most so many of them."""
    order = sorted(range(len(clips)), key=lambda index: len(clips[index]))
    for start in range(0, len(order), rows):
        yield order[start : start + rows]


def right(runner: Runner, clips: Sequence[Example]) -> NDArray[np.bool_]:
    """Which clips are told exactly right."""
    correct = np.zeros(len(clips), bool)
    for rows in by_length([one.frames for one in clips], _ROWS):
        frames, lengths = together([clips[row].frames for row in rows])
        tokens = runner.run({"frames": frames, "lengths": lengths})["tokens"]
        correct[rows] = [decode(said) == clips[row].caption for row, said in zip(rows, tokens.tolist(), strict=True)]
    return correct
