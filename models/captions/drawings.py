"""Examples that are drawn as they are needed, scenes or clips: how they are made, given to a model, and judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import numpy as np

from ..ragged import alike

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from ..zoo.system import Arrays, Runner
    from .sentences import Sentences

_ROWS = 64
#: Where the random numbers of held-out examples begin. Training and validation begin elsewhere.
_SEED = 1_000_003


class Described(Protocol):
    """A scene or a clip before it is drawn."""

    @property
    def caption(self) -> str:
        """The right sentence."""


Scene = TypeVar("Scene", bound=Described)
Part = TypeVar("Part", bound=str)


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """Something to be told.

    Attributes:
        shown: uint8, a scene ``(3, height, width)`` or a clip ``(time, 3, height, width)``.
        caption: the right sentence.
        part: what of it training never showed.
    """

    shown: NDArray[np.uint8]
    caption: str
    part: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawings(Generic[Scene, Part]):
    """One kind of drawn examples.

    Attributes:
        invent: a random scene whose unseen parts are exactly the ones asked for.
        draw: its pixels.
        feed: pixels of some examples of like length as a model's inputs.
        sentences: those that may be said.
        held_out_counts: how many held-out examples there are of each part, the part that training shows first.
    """

    invent: Callable[[np.random.Generator, Sequence[Part]], Scene]
    draw: Callable[[Scene, np.random.Generator], NDArray[np.uint8]]
    feed: Callable[[Sequence[NDArray[np.uint8]]], Arrays]
    sentences: Sentences
    held_out_counts: Mapping[Part, int]

    def examples(self, count: int, seed: int, part: Part | None = None) -> tuple[Example, ...]:
        """Draw examples of one part; None for what training shows."""
        chosen = next(iter(self.held_out_counts)) if part is None else part
        generator = np.random.default_rng(seed)
        made = []
        for _ in range(count):
            scene = self.invent(generator, (chosen,))
            made.append(Example(shown=self.draw(scene, generator), caption=scene.caption, part=chosen))
        return tuple(made)

    def held_out(self) -> tuple[Example, ...]:
        """The examples that a model is judged by: the same ones wherever NumPy's random numbers are the same."""
        counts = enumerate(self.held_out_counts.items(), _SEED)
        return tuple(one for seed, (part, count) in counts for one in self.examples(count, seed, part))

    def right(self, runner: Runner, examples: Sequence[Example]) -> NDArray[np.bool_]:
        """Which examples' sentences are right to the word."""
        correct = np.zeros(len(examples), bool)
        for rows in alike((len(one.shown) for one in examples), _ROWS):
            chosen = [examples[row] for row in rows]
            tokens = runner.run(self.feed([one.shown for one in chosen]))["tokens"].tolist()
            correct[rows] = [
                self.sentences.decode(said) == one.caption for said, one in zip(tokens, chosen, strict=True)
            ]
        return correct
