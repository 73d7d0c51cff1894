"""The search: successive halving over variants and threads, then options of the best, then a final beside the default.

Jamieson and Talwalkar, *Non-stochastic best arm identification and hyperparameter optimization*, AISTATS 2016: all
candidates get a little time, the better half twice as much, and so on. Everything is measured beside the default
session, in turns, so a slow moment of the machine hits all alike. Who is best of many in a short measurement is best
by luck too: so what decides is the last measurement alone, which knows nothing of the ones before.

In the final a candidate replaces the one before it only where the whole interval of their ratio says that it is
better, by more than two equal sessions differ. They come in an order: what loses nothing before what does, few options
before many, few threads before many. So int8 is chosen where it is faster than the best fp32, not where only its
threads are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from .objectives import gain, value_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..bench.intervals import Ratio, Rounds
    from .setups import Setup

#: The least gain that counts: one session of a graph may be faster than the next by 1 to 3% for as long as both live
#: (where their weights happen to lie), which no number of runs averages out.
LEAST_GAIN = 0.03
#: With how many setups halving ends.
_FINALISTS = 2
#: Shares of the seconds for each setup: in the first measurement, of options, and in the final.
_FIRST, _OPTIONS, _FINAL = 0.25, 0.25, 1.0


class Bench(Protocol):
    """What the search asks of reality; a fake in its tests."""

    def obstacle(self, setup: Setup) -> str:
        """Why this setup cannot be used: it does not load, or answers wrongly; empty where it can."""

    def measure(self, setups: Sequence[Setup], seconds: float) -> Mapping[Setup, Rounds]:
        """Durations in nanoseconds, by round, of setups that take turns; ``seconds`` for each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """A setup in its last measurement.

    Attributes:
        setup: which.
        rounds: its durations in nanoseconds; none where it was refused.
        value: of the objective; None where it was refused.
        ratio: how many times better than the default it was beside it; None where it was refused.
        verdict: what became of it: ``chosen``, ``default``, or why not.
    """

    setup: Setup
    rounds: Rounds = ()
    value: float | None = None
    ratio: Ratio | None = None
    verdict: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What the search found.

    Attributes:
        winner: the setup to keep; the default where nothing beat it.
        trials: every setup, the default first.
        noise: how far two equal sessions were apart in the final, relative.
    """

    winner: Setup
    trials: tuple[Trial, ...]
    noise: float

    def trial(self, setup: Setup) -> Trial:
        """What was found of a setup."""
        return next(one for one in self.trials if one.setup == setup)


@dataclass(kw_only=True)
class Search:
    """One search. Call :meth:`run` once.

    Attributes:
        default: the setup that everything is held against.
        bench: what measures.
        objective: out of :data:`rnnx.tuned.OBJECTIVES`.
        batch: sequences in each call.
        seconds: for each setup in the final.
        seed: of resampling.
        neighbours: setups that differ from one in one option.
        tell: is called with a line for each stage.
    """

    default: Setup
    bench: Bench
    objective: str
    batch: int
    seconds: float
    seed: int
    neighbours: Callable[[Setup], Sequence[Setup]]
    tell: Callable[[str], None] = lambda _: None
    _trials: dict[Setup, Trial] = field(default_factory=dict)

    def run(self, setups: Sequence[Setup]) -> Outcome:
        """Search among these, and their options.

        Args:
            setups: with all options as they are by default.
        """
        kept = self._halved(self._usable(setups))
        improved = [better for one in kept if (better := self._with_options(one)) is not None]
        return self._final([*kept, *improved])

    def _usable(self, setups: Sequence[Setup]) -> list[Setup]:
        usable = []
        for one in setups:
            why = self.bench.obstacle(one)
            if why:
                self._trials[one] = Trial(setup=one, verdict=why)
            else:
                usable.append(one)
        return usable

    def _halved(self, setups: list[Setup]) -> list[Setup]:
        """The best few, and the best of those that lose nothing."""
        share = _FIRST
        while setups:
            self.tell(f"{len(setups)} variants and threads beside the default")
            ratios = self._measured(setups, share)
            setups = sorted(setups, key=lambda one: -ratios[one].value)
            kept = setups[: max(_FINALISTS, math.ceil(len(setups) / 2))]
            # Or a lossy variant could win that is only as fast as what was left out.
            kept += [one for one in setups if one.lossless and not any(other.lossless for other in kept)][:1]
            if len(kept) == len(setups):
                break
            for one in setups:
                if one not in kept:
                    self._judge(one, f"behind '{setups[0].name}'")
            setups, share = kept, min(_FINAL, 2 * share)
        return setups

    def _with_options(self, setup: Setup) -> Setup | None:
        """A setup with every option that made it better by itself; None where none did."""
        around = self._usable(self.neighbours(setup))
        if not around:
            return None
        self.tell(f"{len(around)} options of {setup.name}")
        rounds = self._rounds([setup, *around], _OPTIONS)
        ratios = {one: gain(self.objective, rounds[setup], rounds[one], seed=self.seed) for one in around}
        helping = sorted((one for one in around if ratios[one].low > 1), key=lambda one: ratios[one].value)
        for one in around:
            if one not in helping:
                self._judge(one, f"no better than '{setup.name}'")
        if not helping:
            return None
        # Where one option has several values, the best of them comes last and stays.
        together = setup.with_options(helping)
        if together not in helping and self._usable([together]):
            return together
        return helping[-1]

    def _final(self, setups: Sequence[Setup]) -> Outcome:
        self.tell(f"the final: {len(setups)} beside the default")
        again = replace(self.default, again=True)
        ratios = self._measured([again, *setups], _FINAL)
        noise = max(ratios[again].value, 1 / ratios[again].value) - 1
        least = 1 + max(LEAST_GAIN, noise)
        winner = self.default
        rounds = {one: self._trials[one].rounds for one in (self.default, *setups)}
        for one in sorted(setups, key=_preference):
            if ratios[one].low <= least:
                self._judge(one, "no better than the default beyond noise")
                continue
            over = gain(self.objective, rounds[winner], rounds[one], seed=self.seed)
            if over.low > least:
                if winner != self.default:
                    self._judge(winner, f"behind '{one.name}'")
                winner = one
            else:
                self._judge(one, f"no better than '{winner.name}' beyond noise ({over})")
        self._judge(again, "a second session of the default")
        self._judge(self.default, "default" if winner != self.default else "chosen: nothing beat it beyond noise")
        if winner != self.default:
            self._judge(winner, "chosen")
        for one, trial in self._trials.items():
            if not trial.verdict:
                self._judge(one, "its option went into another")
        first = self._trials[self.default]
        rest = (one for one in self._trials.values() if one is not first)
        return Outcome(winner=winner, trials=(first, *rest), noise=noise)

    def _rounds(self, setups: Sequence[Setup], share: float) -> Mapping[Setup, Rounds]:
        """Measure setups beside the default, and note what was found."""
        rounds = self.bench.measure([self.default, *setups], share * self.seconds)
        for one in (self.default, *setups):
            self._trials[one] = Trial(
                setup=one,
                rounds=rounds[one],
                value=value_of(self.objective, rounds[one], batch=self.batch),
                ratio=gain(self.objective, rounds[self.default], rounds[one], seed=self.seed),
            )
        return rounds

    def _measured(self, setups: Sequence[Setup], share: float) -> dict[Setup, Ratio]:
        """Measure setups beside the default: how many times better each is."""
        self._rounds(setups, share)
        return {one: ratio for one in setups if (ratio := self._trials[one].ratio) is not None}

    def _judge(self, setup: Setup, verdict: str) -> None:
        self._trials[setup] = replace(self._trials[setup], verdict=verdict)


def _preference(setup: Setup) -> tuple[object, ...]:
    """Of setups that are equally fast, the first is taken."""
    return (not setup.lossless, setup.options, bool(setup.form), setup.threads or 0)
