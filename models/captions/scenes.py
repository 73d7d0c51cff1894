"""Scenes of 64 by 64 pixels, drawn from what is in them; and the sentence that says it."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from .things import THINGS, sprites

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: Pixels of a scene's side.
SIDE = 64
#: Sizes of one thing, in pixels.
_SMALLEST, _LARGEST = 13, 15
#: Most of one kind.
MOST = 3

#: Things that are never seen in training at all: colours that other shapes have.
UNSEEN_COLOURS = frozenset({"blue heart", "yellow circle", "green square"})
#: One of so many pairs of things, and of so many kinds in twos or threes, never comes in training.
_UNSEEN_PAIRS, _UNSEEN_COUNTS = 6, 8

Where = Literal["left of", "above", "in the middle", "top left", "top right", "bottom left", "bottom right"]
BETWEEN: tuple[Where, ...] = ("left of", "above")
ALONE: tuple[Where, ...] = ("in the middle", "top left", "top right", "bottom left", "bottom right")

#: What a scene has that training never shows.
Part = Literal["seen", "unseen pairs", "unseen counts", "unseen colours"]
PARTS: tuple[Part, ...] = ("seen", "unseen pairs", "unseen counts", "unseen colours")


class Group(NamedTuple):
    """Some things of a kind: its place among :data:`THINGS`, and how many."""

    thing: int
    number: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """What a scene shows.

    Attributes:
        groups: one group, or two; of two the left one or the upper one first.
        where: of one group its place, of two how they stand.
    """

    groups: tuple[Group, ...]
    where: Where

    @property
    def caption(self) -> str:
        """The sentence, such as ``two red apples left of a dog`` or ``a key in the top left corner``."""
        said = [THINGS[group.thing].counted(group.number) for group in self.groups]
        if len(said) == 2:
            return f"{said[0]} {self.where} {said[1]}"
        return f"{said[0]} {self.where if self.where == 'in the middle' else f'in the {self.where} corner'}"

    @property
    def parts(self) -> frozenset[Part]:
        """What of it training never shows; ``seen`` where that is nothing."""
        found: set[Part] = set()
        if any(THINGS[group.thing].name in UNSEEN_COLOURS for group in self.groups):
            found.add("unseen colours")
        if any(group.number > 1 and _one_in(_UNSEEN_COUNTS, f"{group.number} {group.thing}") for group in self.groups):
            found.add("unseen counts")
        if len(self.groups) == 2:
            pair = "-".join(sorted(THINGS[group.thing].name for group in self.groups))
            if _one_in(_UNSEEN_PAIRS, pair):
                found.add("unseen pairs")
        return frozenset(found) or frozenset({"seen"})


def _one_in(many: int, text: str) -> bool:
    return zlib.crc32(text.encode()) % many == 0


def invent(generator: np.random.Generator, parts: Sequence[Part] = ("seen",)) -> Scene:
    """A random scene whose unseen parts are exactly the ones asked for."""
    wanted = frozenset(parts)
    while True:
        pair = generator.random() < 0.75
        things = generator.choice(len(THINGS), 2 if pair else 1, replace=False)
        groups = tuple(Group(int(thing), int(generator.integers(1, MOST + 1))) for thing in things)
        choices = BETWEEN if pair else ALONE
        scene = Scene(groups=groups, where=choices[int(generator.integers(len(choices)))])
        if scene.parts == wanted:
            return scene


def draw(scene: Scene, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a scene; places, sizes, ground and light are random.

    Returns:
        ``(3, 64, 64)``: red, green, blue.
    """
    image = ground(generator, SIDE)
    size, places = _placed(scene, generator)
    for group, some in zip(scene.groups, places, strict=True):
        for y, x in some:
            paste(image, group.thing, (int(y), int(x)), size, generator)
    return finish(image, generator)


def ground(generator: np.random.Generator, side: int) -> NDArray[np.float32]:
    """A bright ground with a gradient, ``(side, side, 3)``, 0 to 1."""
    colour = generator.uniform(0.55, 1, 3)
    slope = generator.uniform(-0.12, 0.12, (2, 3))
    steps = np.linspace(-1, 1, side)[:, None]
    made: NDArray[np.float32] = (colour + (steps * slope[0])[:, None] + (steps * slope[1])[None]).astype(np.float32)
    return made


def paste(
    image: NDArray[np.float32], thing: int, at: tuple[int, int], size: int, generator: np.random.Generator
) -> None:
    """Lay one thing over an image, mirrored or not; what stands outside is cut off."""
    sprite = sprites(size)[thing]
    if generator.random() < 0.5:
        sprite = sprite[:, ::-1]
    lay(image, sprite, at)


def lay(image: NDArray[np.float32], sprite: NDArray[np.float32], at: tuple[int, int]) -> None:
    """Lay a picture ``(size, size, 4)`` over an image at a row and a column; what stands outside is cut off."""
    side, size = image.shape[0], sprite.shape[0]
    (top, left), (bottom, right) = at, (at[0] + size, at[1] + size)
    inside = sprite[max(-top, 0) : size - max(bottom - side, 0), max(-left, 0) : size - max(right - side, 0)]
    if inside.size:
        part = image[max(top, 0) : bottom, max(left, 0) : right]
        part *= 1 - inside[..., 3:]
        part += inside[..., :3]


def finish(image: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.uint8]:
    """Light and noise; ``(side, side, 3)`` of 0 to 1 to uint8 ``(3, side, side)``."""
    noise = generator.uniform(0, 0.05) * generator.standard_normal(image.shape, dtype=np.float32)
    light = generator.uniform(0.8, 1.1)
    changed: NDArray[np.uint8] = (np.clip(image * light + noise, 0, 1) * 255 + 0.5).astype(np.uint8)
    return np.ascontiguousarray(changed.transpose(2, 0, 1))


def _placed(scene: Scene, generator: np.random.Generator) -> tuple[int, list[NDArray[np.int64]]]:
    """The size of the things, and of each group the rows and columns ``(count, 2)`` at which they begin."""
    while True:
        size = int(generator.integers(_SMALLEST, _LARGEST + 1))
        places = [
            _in_cells(group.number, box, size, generator)
            for group, box in zip(scene.groups, _boxes(scene, generator), strict=True)
        ]
        if len(places) == 1:
            return size, places
        # Neither group stands aslant of the other, or "left of" and "above" would both be true.
        down, across = np.abs(places[0].mean(0) - places[1].mean(0))
        if (down < across / 2) if scene.where == "left of" else (across < down / 2):
            return size, places


def _boxes(scene: Scene, generator: np.random.Generator) -> list[tuple[int, int, int, int]]:
    """Where each group may stand: top, left, bottom, right."""
    if len(scene.groups) == 2:
        border = SIDE // 2 + int(generator.integers(-3, 4))
        if scene.where == "left of":
            return [(0, 0, SIDE, border), (0, border, SIDE, SIDE)]
        return [(0, 0, border, SIDE), (border, 0, SIDE, SIDE)]
    wide = 31 + int(generator.integers(0, 4))
    if scene.where == "in the middle":
        start = (SIDE - wide) // 2
        return [(start, start, start + wide, start + wide)]
    top = 0 if "top" in scene.where else SIDE - wide
    left = 0 if "left" in scene.where else SIDE - wide
    return [(top, left, top + wide, left + wide)]


def _in_cells(
    count: int, box: tuple[int, int, int, int], size: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Rows and columns of things, each somewhere in a cell of its own."""
    top, left, bottom, right = box
    down, across = (bottom - top) // size, (right - left) // size
    cells = generator.choice(down * across, count, replace=False)
    height, width = (bottom - top) / down, (right - left) / across
    rows = top + (cells // across) * height + generator.uniform(0, height - size, count)
    columns = left + (cells % across) * width + generator.uniform(0, width - size, count)
    return np.stack([rows, columns], 1).astype(np.int64)
