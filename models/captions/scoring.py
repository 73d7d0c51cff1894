"""How many captions are exactly right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .scenes import PARTS, Part, draw, invent
from .words import decode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ..zoo.system import Runner

_ROWS = 64
#: Held-out scenes of each part, and where their random numbers begin. Training and validation begin elsewhere.
_SCENES = {"seen": 400, "unseen pairs": 200, "unseen counts": 200, "unseen colours": 200}
_SEED = 1_000_003


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """A scene to be described.

    Attributes:
        image: uint8 ``(3, 64, 64)``.
        caption: the right sentence.
        part: what of it training never showed.
    """

    image: NDArray[np.uint8]
    caption: str
    part: Part


def examples(count: int, seed: int, part: Part = "seen") -> tuple[Example, ...]:
    """Draw scenes of one part."""
    generator = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        scene = invent(generator, (part,))
        made.append(Example(image=draw(scene, generator), caption=scene.caption, part=part))
    return tuple(made)


def held_out() -> tuple[Example, ...]:
    """The scenes that a captioner is judged by: the same ones wherever NumPy's random numbers are the same."""
    return tuple(one for part in PARTS for one in examples(_SCENES[part], _SEED + PARTS.index(part), part))


def scaled(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Images as the model takes them: float32, 0 to 1."""
    return np.stack(images).astype(np.float32) / np.float32(255)


def say(runner: Runner, images: Sequence[NDArray[np.uint8]], name: str = "image") -> list[str]:
    """What a runner says of images or videos that all have one size."""
    said = []
    for start in range(0, len(images), _ROWS):
        said += [decode(row) for row in runner.run({name: scaled(images[start : start + _ROWS])})["tokens"].tolist()]
    return said


def right(runner: Runner, scenes: Sequence[Example]) -> NDArray[np.bool_]:
    """Which scenes' captions are exactly right."""
    said = say(runner, [one.image for one in scenes])
    return np.array([answer == one.caption for answer, one in zip(said, scenes, strict=True)])
