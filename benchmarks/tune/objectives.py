"""What may be tuned for: how it is told of durations, and how sure one candidate is to be better than another."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ...errors import InputError
from ...tuned import OBJECTIVES
from ..bench.intervals import latency, means, p50s, p99s, paired_ratio
from ..bench.schedule import Pace

if TYPE_CHECKING:
    from ..bench.intervals import Ratio, Rounds, Statistic

#: By which statistic of the durations each objective is compared. Throughput is that of calls which follow each other,
#: one at a time: as many sequences in a second as the mean duration allows, slow calls included.
_STATISTICS: dict[str, Statistic] = {"p50": p50s, "p99": p99s, "throughput": means}


def check_objective(objective: str) -> str:
    """The objective, after it was found to be one.

    Raises:
        InputError: it is not.
    """
    if objective not in OBJECTIVES:
        raise InputError(f"--objective '{objective}' is not known. Allowed are {', '.join(map(repr, OBJECTIVES))}.")
    return objective


def value_of(objective: str, rounds: Rounds, *, batch: int) -> float:
    """The objective's value, in the unit of :data:`rnnx.tuned.OBJECTIVES`.

    Args:
        objective: which.
        rounds: durations in nanoseconds, those of each round by themselves.
        batch: sequences in each call.
    """
    found = latency(rounds)
    return {"p50": found.p50, "p99": found.p99, "throughput": batch * 1e3 / found.mean}[objective]


def gain(objective: str, reference: Rounds, candidate: Rounds, *, seed: int) -> Ratio:
    """How many times better than the reference the candidate is, above 1 where it is, with its 95% interval.

    Args:
        objective: which.
        reference: durations in nanoseconds, those of each round by themselves.
        candidate: of the same rounds.
        seed: of the resampling.
    """
    return paired_ratio(reference, candidate, seed=seed, statistic=_STATISTICS[objective])


def pace_of(objective: str, seconds: float) -> Pace:
    """How long each candidate is measured.

    Args:
        objective: which.
        seconds: for each candidate.
    """
    pace = Pace(seconds=seconds, warm_seconds=max(0.2, min(2.0, seconds)))
    # Medians that are sure say nothing yet of slow runs.
    return pace if objective == "p50" else replace(pace, width=0.0)
