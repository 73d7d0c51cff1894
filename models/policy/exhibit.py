"""What the control policy shows in the gallery: an episode, and the same without a memory."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ...runtime.session import load
from ..zoo.gallery.exhibit import Exhibit, Picture
from ..zoo.gallery.plots import Panel, lines
from . import memoryless
from .cartpole import EDGE, LEANING, SECONDS, CartPoles
from .episodes import HELD_OUT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from ...runtime.stream import Stream

    Decide = Callable[[NDArray[np.float32]], NDArray[np.bool_]]

_EPISODE = HELD_OUT[7]
#: Share of the pushes that chance decides in the second episode.
_WOBBLE = 0.2


def exhibit(bundle: Path) -> Exhibit:
    """A held-out episode, decided step by step by a stream of the bundle; once more with pushes of chance."""
    blind = memoryless.load()
    pieces = []
    for wobble, what in ((0.0, "each push its own"), (_WOBBLE, f"{_WOBBLE:.0%} of the pushes by chance")):
        with load(bundle, mode="streaming") as session, session.stream() as stream:
            ours = _episode(partial(_decide, stream), wobble)
        theirs = _episode(blind, wobble)
        pieces.append(
            Picture(
                png=_draw(ours, theirs, title=what),
                about=f"{what.capitalize()}: the policy holds the pole for {len(ours)} steps of at most 500, the "
                f"network without a memory for {len(theirs)}.",
            )
        )
    return Exhibit(
        about="A pole on a cart (CartPole-v1), pushed left or right each 20 ms by a streaming GRU that sees position "
        "and angle, but not how fast they change: that it must remember. An episode ends where a curve leaves its "
        "panel, or after 10 s.",
        pieces=tuple(pieces),
    )


def _decide(stream: Stream, seen: NDArray[np.float32]) -> NDArray[np.bool_]:
    logits = stream.push({"observations": seen[:, np.newaxis]})["logits"]
    return np.asarray(logits[:, 0, 1] > logits[:, 0, 0])


def _episode(decide: Decide, wobble: float) -> NDArray[np.float32]:
    """What was seen at each step, float32 ``(steps, 2)``."""
    poles, chance, seen = CartPoles([_EPISODE]), np.random.default_rng(0), []
    while poles.running.any():
        seen.append(poles.observe())
        right = decide(seen[-1])
        if chance.random() < wobble:
            right = chance.random(1) < 0.5
        poles.push(right)
    return np.concatenate(seen)


def _draw(ours: NDArray[np.float32], theirs: NDArray[np.float32], *, title: str) -> bytes:
    seconds = [np.arange(len(one)) * SECONDS for one in (ours, theirs)]

    def panel(column: int, factor: float, limit: float, ylabel: str) -> Panel:
        names = ("policy", "without memory")
        curves = zip(names, seconds, (ours, theirs), strict=True)
        return Panel(
            series={name: (time, one[:, column] * factor) for name, time, one in curves},
            ylabel=ylabel,
            low=-limit,
            high=limit,
        )

    return lines(
        # An episode ends where a curve leaves its panel.
        panel(0, 1.0, EDGE, "position, m"),
        panel(1, 180 / np.pi, LEANING * 180 / np.pi, "angle, degrees"),
        xlabel="seconds",
        title=title,
    )
