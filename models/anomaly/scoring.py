"""How well anomalies are found: step by step, and as a person would count them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..zoo.system import Score

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..zoo.system import Runner

HELD_OUT = Path(__file__).with_name("held_out.npz")

#: Steps after an anomaly that may still alarm: the signal must be foretold from sound steps again.
_TAIL = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Examples:
    """A signal to judge.

    Attributes:
        signal: float32 `(time,)`.
        anomalous: bool `(time,)`.
        first: the step from which on it counts: what is before was learned from, or comes too early to be judged.
    """

    signal: NDArray[np.float32]
    anomalous: NDArray[np.bool_]
    first: int


def held_out(which: str) -> Examples:
    """The committed test signal `ecg` or `bleeding`."""
    with np.load(HELD_OUT, allow_pickle=False) as archive:
        return Examples(
            signal=archive[f"{which}_signal"],
            anomalous=archive[f"{which}_anomalous"],
            first=int(archive[f"{which}_first"]),
        )


def roc_auc(scores: NDArray[np.floating], anomalous: NDArray[np.bool_]) -> float:
    """How often an anomalous step has a higher score than a sound one; equal scores count half.

    The area under the receiver's operating curve, by ranks (Mann and Whitney 1947).

    Args:
        scores: `(time,)`.
        anomalous: bool `(time,)`, of both kinds at least one.
    """
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    most = int(anomalous.sum())
    above = ranks[anomalous].sum() - most * (most + 1) / 2
    return float(above / (most * (len(scores) - most)))


def best_f1(scores: NDArray[np.floating], anomalous: NDArray[np.bool_]) -> float:
    """The best harmonic mean of precision and recall, step by step, that any threshold reaches."""
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(anomalous[order])
    # A threshold lies between two different scores, not within a run of equal ones.
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    return float((2 * found[ends] / (ends + 1 + anomalous.sum())).max())


def runs(marked: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Where runs of true begin and end (exclusive), int64 `(runs, 2)`."""
    edges = np.diff(marked.astype(np.int8), prepend=0, append=0)
    return np.stack([np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)], axis=1)


def score(runner: Runner, examples: Examples) -> Score:
    """The area under the receiver's operating curve, step by step.

    Details: the same without the 100 steps after each anomaly, in which the model still looks back at it; the best F1;
    and, of alarms (scores above 1), how many anomalies have one, the steps until the first, and how many alarms have
    none (an alarm within 100 steps after an anomaly is its own).
    """
    scores = runner.run({"signal": examples.signal[None, :, None]})["score"][0][examples.first :]
    anomalous = examples.anomalous[examples.first :]
    true = runs(anomalous)
    own = np.zeros(len(anomalous), dtype=np.bool_)
    for start, end in true:
        own[start : end + _TAIL] = True
    first = [np.flatnonzero(scores[start:end] > 1) for start, end in true]
    delays = [int(one[0]) for one in first if len(one)]
    counted = anomalous | ~own
    details = {
        "ROC AUC without the 100 steps after an anomaly": roc_auc(scores[counted], anomalous[counted]),
        "best F1": best_f1(scores, anomalous),
        "anomalies": float(len(true)),
        "anomalies with an alarm": float(len(delays)),
        "false alarms": float(len(runs((scores > 1) & ~own))),
    }
    if delays:
        details["mean delay of an alarm, steps"] = float(np.mean(delays))
    return Score(value=roc_auc(scores, anomalous), count=len(scores), details=details)
