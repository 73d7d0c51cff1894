"""Clips of 48 by 48 pixels, drawn from what happens in them; and the sentence that tells it."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from ..captions.scenes import finish, ground, lay
from ..captions.things import THINGS, sprites

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: Pixels of a frame's side.
SIDE = 48
#: Fewest and most frames of one event, and events of a clip.
FRAMES = (4, 6)
MOST = 2
#: Sizes of a thing that keeps its size, and the least and most of one that does not.
_SIZES, _LEAST, _MOST = (15, 20), 7, 30
#: How far a thing moves, in pixels.
_WAY = (17, 26)

#: What things do.
DOES = ("moves left", "moves right", "moves up", "moves down", "grows", "shrinks", "blinks", "jumps")
#: One of so many pairs of a thing and what it does, and of two things that follow each other, never comes in training.
_UNSEEN_ACTS, _UNSEEN_ORDERS = 8, 6

#: What a clip has that training never shows.
Part = Literal["seen", "unseen acts", "unseen orders"]
PARTS: tuple[Part, ...] = ("seen", "unseen acts", "unseen orders")


class Event(NamedTuple):
    """One thing does something: its place among :data:`THINGS`, and the place among :data:`DOES`."""

    thing: int
    does: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """What happens in a clip: its events, one after the other."""

    events: tuple[Event, ...]

    @property
    def caption(self) -> str:
        """The sentence, such as ``a dog moves left then a red heart grows``."""
        return " then ".join(f"{THINGS[event.thing].counted(1)} {DOES[event.does]}" for event in self.events)

    @property
    def parts(self) -> frozenset[Part]:
        """What of it training never shows; ``seen`` where that is nothing."""
        names = [THINGS[event.thing].name for event in self.events]
        found: set[Part] = set()
        if any(is_unseen_act(event) for event in self.events):
            found.add("unseen acts")
        if any(_one_in(_UNSEEN_ORDERS, f"{one} then {other}") for one, other in pairwise(names)):
            found.add("unseen orders")
        return frozenset(found) or frozenset({"seen"})


def is_unseen_act(event: Event) -> bool:
    """Whether training never shows this thing do this."""
    return _one_in(_UNSEEN_ACTS, f"{THINGS[event.thing].name} {DOES[event.does]}")


def _one_in(many: int, text: str) -> bool:
    return zlib.crc32(text.encode()) % many == 0


def invent(generator: np.random.Generator, parts: Sequence[Part] = ("seen",)) -> Story:
    """A random story whose unseen parts are exactly the ones asked for."""
    wanted = frozenset(parts)
    while True:
        count = int(generator.integers(1, MOST + 1))
        things = generator.choice(len(THINGS), count, replace=False)
        acts = generator.integers(0, len(DOES), count)
        story = Story(events=tuple(Event(int(one), int(act)) for one, act in zip(things, acts, strict=True)))
        if story.parts == wanted:
            return story


def draw(story: Story, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a clip; speeds, places, sizes, ground and each frame's light are random.

    Returns:
        ``(frames, 3, 48, 48)``: red, green, blue; 4 to 6 frames for each event.
    """
    back = ground(generator, SIDE)
    return np.stack([finish(frame, generator) for event in story.events for frame in _event(event, back, generator)])


def _event(event: Event, back: NDArray[np.float32], generator: np.random.Generator) -> list[NDArray[np.float32]]:
    """The frames of one event, without noise."""
    count = int(generator.integers(FRAMES[0], FRAMES[1] + 1))
    share = np.linspace(0, 1, count)
    size = int(generator.integers(_SIZES[0], _SIZES[1] + 1))
    mirrored = generator.random() < 0.5
    does = DOES[event.does]
    sizes, shown = np.full(count, size), np.ones(count, bool)
    path = np.zeros((count, 2))  # rows down and columns across, beside the middle of the way
    way = generator.uniform(*_WAY)
    if does.startswith("moves"):
        direction = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}[does.removeprefix("moves ")]
        path = (share - 0.5)[:, None] * way * np.array(direction)
    elif does == "jumps":
        path[:, 0] = way * (0.5 - np.sin(np.pi * share))
    elif does == "blinks":
        shown = np.arange(count) % 2 == 0
    else:
        small, large = generator.integers(_LEAST, _LEAST + 5), generator.integers(_MOST - 6, _MOST + 1)
        sizes = np.round(small + (large - small) * (share if does == "grows" else 1 - share)).astype(int)
    reach = np.abs(path).max(0) + sizes.max() / 2
    middle = [generator.uniform(min(one, SIDE / 2), max(SIDE - one, SIDE / 2)) for one in reach]
    frames = []
    for at, side, visible in zip(path + middle, sizes, shown, strict=True):
        frame = back.copy()
        if visible:
            sprite = sprites(int(side))[event.thing]
            row, column = np.round(at - side / 2).astype(int)
            lay(frame, sprite[:, ::-1] if mirrored else sprite, (int(row), int(column)))
        frames.append(frame)
    return frames
