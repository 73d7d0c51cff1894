"""When what is run: warm-up until stable, then turns in rounds, so that a slow moment of the machine hits all alike.

In a round every candidate has one turn, in an order of its own drawn for each round, so that none always follows the
same other. A turn of short runs begins with one that is not counted, because the weights of the candidate before fill
the cache. Then as many runs are timed as make a turn of a few milliseconds.

Engines with several threads keep them spinning after a run, so that the next begins sooner: ONNX Runtime's for 15 ms
and those of OpenMP under torch for 8 (measured on two cores). They would take the cores from whoever comes next. So
with several threads every turn begins with a rest, until the process uses no more time.
"""

from __future__ import annotations

import gc
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .intervals import narrow, round_medians

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Call = Callable[[], object]
    Clock = Callable[[], int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How long and how often.

    Attributes:
        seconds: time for the measured rounds, for each candidate; they may take less where the medians are sure before.
        fewest_rounds: rounds that are run however long they take.
        most_rounds: rounds after which more would tell nothing.
        fewest_runs: runs of each candidate before sure medians may end it early: a 99th percentile wants a hundred.
        width: relative half-width of a median's interval that is sure enough.
        turn_seconds: how long a turn should be.
        most_in_turn: timed runs in one turn, at most.
        lead_in_seconds: a run that takes longer than this needs none before it that is not counted.
        warm_seconds: time after which a warm-up ends, stable or not.
        settled: relative difference of two windows of a warm-up that counts as stable.
    """

    seconds: float = 1.0
    fewest_rounds: int = 12
    most_rounds: int = 400
    fewest_runs: int = 200
    width: float = 0.005
    turn_seconds: float = 0.005
    most_in_turn: int = 20
    lead_in_seconds: float = 0.02
    warm_seconds: float = 2.0
    settled: float = 0.03

    def with_rests(self) -> Pace:
        """The same with turns that are long enough to be worth a rest before each."""
        return replace(self, turn_seconds=4 * self.turn_seconds, most_in_turn=4 * self.most_in_turn)


@dataclass(frozen=True, kw_only=True, slots=True)
class WarmUp:
    """How a candidate got warm.

    Attributes:
        runs: how many runs it took.
        seconds: how long they took.
        stable: whether the last two windows agreed.
        typical_ns: median of the last window, in nanoseconds.
    """

    runs: int
    seconds: float
    stable: bool
    typical_ns: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """What was measured of one candidate.

    Attributes:
        warm_up: before it.
        rounds: durations of the timed runs in nanoseconds, those of each round by themselves.
        joules: energy of one run, of the whole processor, or None where the machine does not tell.
        preempted: how often in one run the system took a core away for another process; None where it does not tell.
    """

    warm_up: WarmUp
    rounds: tuple[tuple[int, ...], ...]
    joules: float | None
    preempted: float | None


_WINDOW = 5


def warm_up(call: Call, pace: Pace, clock: Clock = time.perf_counter_ns) -> WarmUp:
    """Run until the medians of two windows that follow each other agree, or the time is over."""
    start = clock()
    before: float | None = None
    runs = 0
    while True:
        window: list[int] = []
        # A run of many seconds needs no window of five to be told from the next.
        while len(window) < _WINDOW and (len(window) < 2 or clock() - start < pace.warm_seconds * 1e9):
            began = clock()
            call()
            window.append(clock() - began)
        runs += len(window)
        typical = float(np.median(window))
        spent = (clock() - start) / 1e9
        stable = before is not None and abs(typical - before) <= pace.settled * before
        if stable or spent >= pace.warm_seconds:
            return WarmUp(runs=runs, seconds=spent, stable=stable, typical_ns=typical)
        before = typical


def measure(
    calls: Mapping[str, Call],
    pace: Pace,
    *,
    seed: int,
    clock: Clock = time.perf_counter_ns,
    rest: Callable[[], None] = lambda: None,
    meter: Callable[[], float | None] = lambda: None,
    preempted: Callable[[], int | None] = lambda: None,
) -> dict[str, Timing]:
    """Warm all candidates up, then time them in rounds.

    Args:
        calls: what each candidate runs, by name.
        pace: how long and how often.
        seed: of the order in each round.
        clock: nanoseconds, monotonic.
        rest: is called before each turn.
        meter: joules that the processor has used since some moment, or None.
        preempted: how often a core was taken away since some moment, or None.
    """
    warm = {}
    for name, call in calls.items():
        rest()
        warm[name] = warm_up(call, pace, clock)
    turn = {
        name: max(1, min(pace.most_in_turn, int(pace.turn_seconds * 1e9 / max(one.typical_ns, 1.0))))
        for name, one in warm.items()
    }
    rounds: dict[str, list[tuple[int, ...]]] = {name: [] for name in calls}
    meters: dict[str, Callable[[], float | None]] = {"joules": meter, "preempted": preempted}
    used: dict[str, dict[str, list[float]]] = {name: {what: [] for what in meters} for name in calls}
    generator = np.random.default_rng(seed)
    names = list(calls)
    start = clock()
    with _no_collection():
        for number in range(pace.most_rounds):
            if number >= pace.fewest_rounds and (
                clock() - start >= pace.seconds * len(calls) * 1e9 or _sure(rounds, pace)
            ):
                break
            for index in generator.permutation(len(names)):
                name = names[index]
                call = calls[name]
                rest()
                if warm[name].typical_ns < pace.lead_in_seconds * 1e9:
                    call()
                before = {what: read() for what, read in meters.items()}
                taken = []
                for _ in range(turn[name]):
                    began = clock()
                    call()
                    taken.append(clock() - began)
                for what, read in meters.items():
                    first, last = before[what], read()
                    # A counter of energy wraps around once in hours.
                    if first is not None and last is not None and last >= first:
                        used[name][what].append((last - first) / len(taken))
                rounds[name].append(tuple(taken))
    return {
        name: Timing(
            warm_up=warm[name],
            rounds=tuple(rounds[name]),
            joules=_mean(used[name]["joules"]),
            preempted=_mean(used[name]["preempted"]),
        )
        for name in calls
    }


def let_threads_sleep(
    sleep: Callable[[float], None] = time.sleep, used: Callable[[], float] = time.process_time
) -> None:
    """Wait until no thread of this process spins any more, a tenth of a second at most.

    Args:
        sleep: waits for these seconds.
        used: seconds of processor time that this process has used.
    """
    # Linux tells the time of running threads every 4 ms, so a shorter look could find nothing.
    window = 0.005
    for _ in range(20):
        before = used()
        sleep(window)
        if used() - before < window / 5:
            return


def _sure(rounds: Mapping[str, list[tuple[int, ...]]], pace: Pace) -> bool:
    return all(
        sum(map(len, taken)) >= pace.fewest_runs and narrow(round_medians(taken), pace.width)
        for taken in rounds.values()
    )


def _mean(told: list[float]) -> float | None:
    # Not the median: a counter that moves every millisecond gives zero for some turns.
    return float(np.mean(told)) if told else None


@contextmanager
def _no_collection() -> Iterator[None]:
    """No garbage collection in the middle of a run."""
    was = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
