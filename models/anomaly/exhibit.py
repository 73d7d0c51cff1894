"""What the anomaly detectors show in the gallery: a held-out signal, its score, and where it is known to be unsound."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...runtime.session import load
from ..zoo.gallery.exhibit import Exhibit, Picture
from ..zoo.gallery.plots import Panel, lines
from .scoring import held_out, runs

if TYPE_CHECKING:
    from pathlib import Path

#: Steps that are drawn before and behind an anomaly.
_AROUND = 200
#: The score above which the bundle alarms.
_ALARM = 1.0


def exhibit(which: str, about: str, bundle: Path) -> Exhibit:
    """The whole signal, and each anomaly from near.

    Args:
        which: the signal, ``ecg`` or ``bleeding``.
        about: what it is.
        bundle: of the system.
    """
    examples = held_out(which)
    with load(bundle) as session:
        said = session.run({"signal": examples.signal[None, :, None]})
    scores, expected = said["score"][0], said["expected"][0]
    known = runs(examples.anomalous)
    steps = np.arange(len(scores))

    def draw(first: int, end: int, *, told: bool, title: str) -> bytes:
        part = slice(first, end)
        marks = [(max(begin, first), min(stop, end)) for begin, stop in known if begin < end and stop > first]
        # The signal is drawn last, so that what was foretold is seen where it was wrong.
        curves = {"foretold by the step before": (steps[part], expected[part])} if told else {}
        curves["signal"] = (steps[part], examples.signal[part])
        return lines(
            Panel(series=curves, marks=marks, mark_name="known anomaly", ylabel="signal"),
            Panel(
                series={"score": (steps[part], scores[part])},
                marks=marks,
                level=_ALARM,
                level_name="alarm",
                ylabel="score",
                low=0.0,
            ),
            xlabel="step",
            title=title,
        )

    false = sum(not examples.anomalous[begin:end].any() for begin, end in runs(scores > _ALARM))
    pieces = [
        Picture(
            png=draw(examples.first, len(scores), told=False, title="the whole signal"),
            about=f"The held-out signal, what is known of it, and the score of each step. Runs of alarms: "
            f"{len(runs(scores > _ALARM))}, of which {false} touch no known anomaly.",
        )
    ]
    for number, (begin, end) in enumerate(known, 1):
        png = draw(max(begin - _AROUND, 0), min(end + _AROUND, len(scores)), told=True, title=f"anomaly {number}")
        highest = float(scores[begin:end].max())
        pieces.append(Picture(png=png, about=f"Anomaly {number} from near; its highest score is {highest:.2f}."))
    return Exhibit(about=about, pieces=tuple(pieces))
