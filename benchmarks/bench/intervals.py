"""Percentiles of latencies, and how sure a ratio of two of them is.

Runs that follow each other are alike (the clock frequency, a neighbour on the machine), so they are not resampled one
by one: the unit is a round, in which every candidate had its turn. A ratio within one benchmark resamples the same
rounds for both sides, so that what hit both alike cancels out.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Rounds = Sequence[Sequence[int]]
    #: From rounds, and how often each round counts, float32 ``(resamples, rounds)``, to float64 ``(resamples,)``.
    Statistic = Callable[[Rounds, NDArray[np.float32]], NDArray[np.float64]]

RESAMPLES = 1000
LEVEL = 0.95
#: Fewer rounds than these tell no interval.
FEWEST_ROUNDS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """How long one run takes, in milliseconds.

    Attributes:
        p50: median.
        p95: 95th percentile.
        p99: 99th percentile.
        mean: arithmetic mean.
        minimum: shortest.
        maximum: longest.
        spread: difference of the third and first quartile, divided by the median.
        runs: how many runs were measured.
    """

    p50: float
    p95: float
    p99: float
    mean: float
    minimum: float
    maximum: float
    spread: float
    runs: int

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ratio:
    """A ratio and its confidence interval, 95% by the bootstrap (Efron 1979, percentile method).

    Attributes:
        value: the ratio.
        low: lower end.
        high: upper end.
    """

    value: float
    low: float
    high: float

    @property
    def certain(self) -> bool:
        """Whether the interval leaves out 1."""
        return self.low > 1 or self.high < 1

    def __str__(self) -> str:
        """For people: ``1.52 [1.49, 1.55]``."""
        return interval_text(self.value, self.low, self.high)

    def to_json(self) -> dict[str, float]:
        """A JSON-able dict."""
        return asdict(self)


def interval_text(value: float, low: float, high: float) -> str:
    """``1.52 [1.49, 1.55]``; two digits of what is small."""
    value_text, low_text, high_text = (f"{one:.2f}" if one >= 0.1 else f"{one:.2g}" for one in (value, low, high))
    return f"{value_text} [{low_text}, {high_text}]"


def latency(rounds: Rounds) -> Latency:
    """The latencies of all runs.

    Args:
        rounds: durations in nanoseconds, those of each round by themselves.
    """
    ms = np.concatenate([np.asarray(one, np.float64) for one in rounds]) / 1e6
    low, p25, p50, p75, p95, p99, high = (float(one) for one in np.percentile(ms, [0, 25, 50, 75, 95, 99, 100]))
    return Latency(
        p50=p50,
        p95=p95,
        p99=p99,
        mean=float(ms.mean()),
        minimum=low,
        maximum=high,
        spread=(p75 - p25) / p50 if p50 else 0.0,
        runs=ms.size,
    )


def round_medians(rounds: Rounds) -> NDArray[np.float64]:
    """The median of each round in milliseconds, float64 ``(rounds,)``."""
    return np.array([np.median(one) for one in rounds], np.float64) / 1e6


def noise(medians: NDArray[np.float64]) -> float:
    """How far even rounds are from odd ones, relative: what the same thing measured twice differs by."""
    if medians.size < 2:
        return 0.0
    even, odd = float(np.median(medians[::2])), float(np.median(medians[1::2]))
    return abs(even / odd - 1) if odd else 0.0


def p50s(rounds: Rounds, weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """The median of all runs, a :data:`Statistic`."""
    return quantiles(rounds, weights, share=0.5)


def p99s(rounds: Rounds, weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """The 99th percentile of all runs, a :data:`Statistic`."""
    return quantiles(rounds, weights, share=0.99)


def means(rounds: Rounds, weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """The mean of all runs, a :data:`Statistic`."""
    sums, counts = (np.array([how(one) for one in rounds], np.float64) for how in (np.sum, len))
    return np.asarray((weights @ sums) / (weights @ counts), np.float64)


def paired_ratio(reference: Rounds, candidate: Rounds, *, seed: int, statistic: Statistic = p50s) -> Ratio:
    """How many times faster the candidate is: a statistic of the reference's runs over that of the candidate's.

    Args:
        reference: durations in nanoseconds, those of each round by themselves.
        candidate: of the same rounds.
        seed: of the resampling.
        statistic: of runs; their median by default.
    """
    count = min(len(reference), len(candidate))
    generator = np.random.default_rng(seed)
    chosen = generator.integers(0, count, (RESAMPLES, count))
    # How often each round was drawn, (resamples, rounds): the weight of its runs.
    weights = np.stack([np.bincount(one, minlength=count) for one in chosen]).astype(np.float32)
    whole = np.ones((1, count), np.float32)
    value = statistic(reference[:count], whole) / statistic(candidate[:count], whole)
    drawn = statistic(reference[:count], weights) / statistic(candidate[:count], weights)
    return _interval(float(value[0]), drawn)


def independent_ratio(above: NDArray[np.float64], below: NDArray[np.float64], *, seed: int) -> Ratio:
    """The ratio of two medians that were measured at different times.

    Args:
        above: median of each round, float64 ``(rounds,)``.
        below: the same of another benchmark.
        seed: of the resampling.
    """
    generator = np.random.default_rng(seed)
    first, second = (generator.integers(0, one.size, (RESAMPLES, one.size)) for one in (above, below))
    value = float(np.median(above) / np.median(below))
    return _interval(value, np.median(above[first], axis=1) / np.median(below[second], axis=1))


def narrow(medians: NDArray[np.float64], width: float) -> bool:
    """Whether the median of these rounds is known to within ``width``, relative, on either side.

    By order statistics, without a distribution: ranks n/2 -+ 0.98 sqrt(n) hold the median with about 95%.
    """
    count = medians.size
    if count < 2 * FEWEST_ROUNDS:
        return False
    ordered = np.sort(medians)
    reach = 0.98 * np.sqrt(count)
    low = max(int(np.floor(count / 2 - reach)), 0)
    high = min(int(np.ceil(count / 2 + reach)), count - 1)
    return bool(ordered[high] - ordered[low] <= 2 * width * np.median(medians))


def quantiles(rounds: Rounds, weights: NDArray[np.float32], *, share: float) -> NDArray[np.float64]:
    """A quantile of all runs for each row of weights, float32 ``(resamples, rounds)``; float64 ``(resamples,)``."""
    runs = np.concatenate([np.asarray(one, np.float64) for one in rounds])
    owner = np.repeat(np.arange(len(rounds)), [len(one) for one in rounds])
    order = np.argsort(runs, kind="stable")
    runs, owner = runs[order], owner[order]
    found = np.empty(len(weights))
    for index, row in enumerate(weights):
        reached = np.cumsum(row[owner])
        wanted = reached[-1] * share
        low, high = (int(np.searchsorted(reached, wanted, side=side)) for side in ("left", "right"))
        found[index] = (runs[low] + runs[min(high, runs.size - 1)]) / 2
    return found


def _interval(value: float, drawn: NDArray[np.float64]) -> Ratio:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Ratio(value=value, low=float(low), high=float(high))
