"""Visits as the model takes them, and the days on which it is asked.

A *landmark* is a day of which nothing after it is known (van Houwelingen 2007, "Dynamic Prediction by Landmarking in
Event History Analysis"). Who died or was transplanted before it is not asked about, and no visit after it is read: how
many visits a patient had in all tells how long he lived.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..datasets.pbcseq import COLUMNS, Patient, load
from .baseline import fit_regression, mayo_score, regress
from .model import DAYS_PER_YEAR, HORIZON_YEARS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

Part = Literal["training", "validation", "held out"]

#: Years after the first visit on which each held-out patient who is still at risk is asked about.
LANDMARK_YEARS = (1, 2, 3, 4)


@dataclass(frozen=True, kw_only=True, slots=True)
class Visits:
    """A patient's visits up to a day, and that day as a last row of which nothing was measured.

    Attributes:
        values: float32 `(rows, 14)`, 0 where nothing was measured.
        observed: float32 `(rows, 14)`, 1 where it was.
        gaps: float32 `(rows, 14)`, days since the column's last value, or since the first visit.
    """

    values: NDArray[np.float32]
    observed: NDArray[np.float32]
    gaps: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOut:
    """Questions about patients that the model has not seen, one for each landmark that they reached.

    Attributes:
        visits: what is known on the day.
        years: int64 `(questions,)`, the landmark.
        events: bool `(questions,)`, whether death or transplantation came within three years of it.
        rules: what simpler rules say, float64 `(questions,)` by name; higher is worse.
    """

    visits: tuple[Visits, ...]
    years: NDArray[np.int64]
    events: NDArray[np.bool_]
    rules: dict[str, NDArray[np.float64]]


def part_of(number: int) -> Part:
    """Where a patient belongs, by the hash of the number: a quarter is held out, an eighth chooses the weights."""
    place = int(hashlib.sha256(f"pbcseq/{number}".encode()).hexdigest(), 16) % 1000
    return "held out" if place < 250 else "validation" if place < 375 else "training"


def until(patient: Patient, day: float) -> Visits:
    """What is known of a patient on a day: the visits not after it, and the day itself."""
    kept = patient.days <= day
    return to_visits(
        np.append(patient.days[kept], day), np.vstack((patient.values[kept], np.full(len(COLUMNS), np.nan)))
    )


def to_visits(days: NDArray[np.float64], values: NDArray[np.float64]) -> Visits:
    """Rows at days, with NaN where nothing was measured, as the model takes them; gaps as of Che et al. 2018, eq. 2."""
    seen = np.isfinite(values)
    gaps = np.zeros(values.shape)
    for row in range(1, len(values)):
        gaps[row] = days[row] - days[row - 1] + np.where(seen[row - 1], 0.0, gaps[row - 1])
    return Visits(
        values=np.where(seen, values, 0.0).astype(np.float32),
        observed=seen.astype(np.float32),
        gaps=gaps.astype(np.float32),
    )


def outcome(patient: Patient, day: float) -> bool | None:
    """Whether death or transplantation came within three years of a day; None where it is not known, or came before."""
    if patient.followed_days <= day:
        return None
    came = patient.outcome != "alive" and patient.followed_days <= day + HORIZON_YEARS * DAYS_PER_YEAR
    known = came or patient.followed_days >= day + HORIZON_YEARS * DAYS_PER_YEAR
    return came if known else None


def questions(patients: Iterable[Patient]) -> list[tuple[Patient, int, bool]]:
    """Every patient at every landmark at which the outcome is known."""
    return [
        (patient, year, came)
        for patient in patients
        for year in LANDMARK_YEARS
        if (came := outcome(patient, year * DAYS_PER_YEAR)) is not None
    ]


def last_values(asked: Sequence[tuple[Patient, int, bool]]) -> NDArray[np.float64]:
    """What each column last was before the landmark: float64 `(questions, 14)`, NaN where it never was measured."""
    rows = []
    for patient, year, _ in asked:
        known = patient.values[patient.days <= year * DAYS_PER_YEAR]
        last = np.full(known.shape[1], np.nan)
        for row in known:
            last = np.where(np.isfinite(row), row, last)
        rows.append(last)
    return np.array(rows)


def load_held_out(folder: Path | None = None) -> HeldOut:
    """Make the questions from the package, of which nothing may be copied here.

    Args:
        folder: holds the unpacked package; None where it is installed.

    Raises:
        MissingDataError: the package is not there; it says what to install.
    """
    patients = load(folder)
    asked = questions(one for one in patients if part_of(one.number) == "held out")
    learned = questions(one for one in patients if part_of(one.number) != "held out")
    return ask(asked, learned)


def ask(asked: Sequence[tuple[Patient, int, bool]], learned: Sequence[tuple[Patient, int, bool]]) -> HeldOut:
    """Questions, and what rules say to them that were fitted to other patients' questions, ``learned``."""
    now = last_values(asked)
    regression = fit_regression(last_values(learned), np.array([came for *_, came in learned]))
    return HeldOut(
        visits=tuple(until(patient, year * DAYS_PER_YEAR) for patient, year, _ in asked),
        years=np.array([year for _, year, _ in asked], dtype=np.int64),
        events=np.array([came for *_, came in asked], dtype=np.bool_),
        rules={
            "logistic regression on last values": regress(regression, now),
            "Mayo score of last values": mayo_score(now, np.array([year for _, year, _ in asked])),
            "last bilirubin alone": now[:, COLUMNS.index("bili")],
        },
    )
