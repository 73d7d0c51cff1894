"""How often the right exercise is told: window by window, and while whole recordings go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..zoo.system import Score
from .data import windows
from .model import LABELS, STRIDE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..zoo.system import Runner
    from .data import Examples

_ROWS = 128
#: Steps after which a recording's answers count: 4 s, as long as a window.
_SETTLED = 200


def score(runner: Runner, examples: Examples) -> Score:
    """The share of windows of 4 s whose last answer is right.

    Details: the mean F1 of all exercises over these windows; the share for each subject; and, where each recording is
    read from end to end, the share of right answers after its first 4 s, and the share of recordings whose most
    frequent answer is right.
    """
    cut = [windows(one) for one in examples.signals]
    rows = np.repeat(np.arange(len(cut)), [len(one) for one in cut])
    inputs = np.concatenate(cut)
    logits = [runner.run({"signals": inputs[k : k + _ROWS]})["logits"] for k in range(0, len(inputs), _ROWS)]
    told = np.concatenate(logits)[:, -1].argmax(axis=1)
    right = told == examples.exercises[rows]
    subjects = examples.subjects[rows]
    details = {
        "F1, mean of the exercises": macro_f1(told, examples.exercises[rows]),
        "always the most frequent exercise": float(np.bincount(examples.exercises[rows]).max() / len(rows)),
    }
    details |= {f"subject {one}": float(right[subjects == one].mean()) for one in np.unique(subjects)}
    answers = _whole(runner, examples)
    details["answers after 4 s of a recording"] = float(
        np.mean(np.concatenate([one == true for one, true in zip(answers, examples.exercises, strict=True)]))
    )
    most = np.array([np.bincount(one, minlength=len(LABELS)).argmax() for one in answers])
    details["recordings"] = float((most == examples.exercises).mean())
    return Score(value=float(right.mean()), count=len(rows), details=details)


def _whole(runner: Runner, examples: Examples) -> list[NDArray[np.int64]]:
    """What is told after each fourth step of each recording but its first 4 s."""
    longest = max(len(one) for one in examples.signals)
    padded = np.zeros((len(examples.signals), longest, examples.signals[0].shape[1]), dtype=np.float32)
    for row, one in zip(padded, examples.signals, strict=True):
        row[: len(one)] = one
    # What is told rests on what came before it alone, so what fills up at the end changes no answer before.
    told = runner.run({"signals": padded})["logits"].argmax(axis=2)
    return [row[_SETTLED // STRIDE : len(one) // STRIDE] for row, one in zip(told, examples.signals, strict=True)]


def macro_f1(told: NDArray[np.int64], true: NDArray[np.int64]) -> float:
    """The mean over all classes of the harmonic mean of precision and recall."""
    found = []
    for label in range(len(LABELS)):
        both = int(((told == label) & (true == label)).sum())
        total = int((told == label).sum() + (true == label).sum())
        found.append(2 * both / total if total else 0.0)
    return float(np.mean(found))
