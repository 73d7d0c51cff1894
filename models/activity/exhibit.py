"""What activity recognition shows in the gallery: a watch's signals, and what is told while they go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...runtime.tasks import load_task
from ..zoo.gallery.exhibit import Exhibit, Picture
from ..zoo.gallery.plots import Panel, lines
from .data import TEST_SUBJECTS, held_out
from .model import LABELS, SIGNALS, STRIDE

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

#: Steps of a second, and how many of each exercise are read.
_RATE, _PART = 50, 400


def exhibit(bundle: Path) -> Exhibit:
    """Each held-out person's exercises one after the other, read from end to end."""
    pieces = []
    with load_task(bundle) as task:
        described: Any = task.description.write
        for subject in TEST_SUBJECTS:
            signals, true = _joined(subject)
            told = task.session.run({"signals": signals[None]})["logits"][0].argmax(axis=1)
            right = float((told == true[STRIDE - 1 :: STRIDE]).mean())
            pieces.append(
                Picture(
                    png=_draw(signals, true, told, described.labels),
                    about=f"Person {subject}: {right:.0%} of the answers are right, the first seconds after each "
                    "change counted too.",
                )
            )
    return Exhibit(
        about="What a person with a watch on does, told 12.5 times a second by a causal network. Nothing was learned "
        f"from these three. Of each exercise {_PART // _RATE} s were joined, so that the network has to notice the "
        "change.",
        pieces=tuple(pieces),
    )


def _joined(subject: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """A recording of each exercise, cut and joined: float32 ``(time, 6)``, and the exercise at each step."""
    examples = held_out()
    rows = [
        int(np.flatnonzero((examples.subjects == subject) & (examples.exercises == one))[0])
        for one in range(len(LABELS))
    ]
    return np.concatenate([examples.signals[row][:_PART] for row in rows]), np.repeat(examples.exercises[rows], _PART)


def _draw(
    signals: NDArray[np.float32], true: NDArray[np.int64], told: NDArray[np.int64], labels: tuple[str, ...]
) -> bytes:
    seconds = np.arange(len(signals)) / _RATE
    answered = (np.arange(len(told)) + 1) * STRIDE / _RATE
    return lines(
        Panel(series={axis: (seconds, signals[:, SIGNALS.index(axis)]) for axis in SIGNALS[:3]}, ylabel="gravity"),
        Panel(series={axis: (seconds, signals[:, SIGNALS.index(axis)]) for axis in SIGNALS[3:]}, ylabel="rad/s"),
        Panel(series={"done": (seconds, true), "told": (answered, told)}, names=labels),
        xlabel="seconds",
    )
