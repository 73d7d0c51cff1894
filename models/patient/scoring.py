"""How well risk puts patients in order, among those asked about on the same day."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..zoo.system import Score

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ..zoo.system import Runner
    from .data import HeldOut, Visits


def score(runner: Runner, examples: HeldOut) -> Score:
    """The share of pairs, one who had the event and one who had not, in which the first had the higher risk.

    Pairs are of one landmark only: that risk grows with the years is known without any model. The details have
    each landmark, and what simpler rules reach on the same pairs.
    """
    found = risks(runner, examples.visits)
    details = {
        f"after {year} years" if year > 1 else "after 1 year": area(
            found[examples.years == year],
            examples.events[examples.years == year],
            examples.years[examples.years == year],
        )
        for year in np.unique(examples.years).tolist()
    }
    details |= {name: area(rule, examples.events, examples.years) for name, rule in examples.rules.items()}
    details["share with the event"] = float(examples.events.mean())
    return Score(value=area(found, examples.events, examples.years), count=len(found), details=details)


def area(risk: NDArray[np.floating], events: NDArray[np.bool_], groups: NDArray[np.integer]) -> float:
    """The area under the ROC curve within groups; ties count half (Hanley and McNeil 1982).

    Args:
        risk: float `(questions,)`.
        events: bool `(questions,)`.
        groups: int `(questions,)`; only pairs of one group are compared.

    Returns:
        From 0 to 1; NaN where there is no pair.
    """
    right = pairs = 0.0
    for group in np.unique(groups):
        with_event, without = risk[(groups == group) & events], risk[(groups == group) & ~events]
        above = with_event[:, np.newaxis] - without
        right += float((above > 0).sum() + (above == 0).sum() / 2)
        pairs += above.size
    return right / pairs if pairs else float("nan")


def risks(runner: Runner, visits: Sequence[Visits]) -> NDArray[np.float32]:
    """Each patient's risk on the last row: float32 `(patients,)`."""
    lengths = np.array([len(one.values) for one in visits], dtype=np.int64)
    inputs = {name: together([getattr(one, name) for one in visits]) for name in ("values", "observed", "gaps")}
    answer = runner.run({**inputs, "lengths": lengths})["risk"]
    return np.take_along_axis(answer, lengths[:, np.newaxis] - 1, axis=1)[:, 0].astype(np.float32)


def together(rows: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """One array `(batch, longest, features)` of many, with zeros behind their ends."""
    batch = np.zeros((len(rows), max(map(len, rows)), rows[0].shape[1]), dtype=np.float32)
    for place, row in zip(batch, rows, strict=True):
        place[: len(row)] = row
    return batch
