"""Warm-up, turns and rounds under a clock that the test moves itself."""

import itertools

import pytest

from rnnx.benchmarks.bench.schedule import Pace, let_threads_sleep, measure, warm_up

MS = 1_000_000


class FakeClock:
    """Time passes only while something runs."""

    def __init__(self):
        self.now = 0
        self.order = []

    def __call__(self):
        return self.now

    def runs(self, name, durations):
        """A call that takes these nanoseconds, one after the other; the last for ever."""
        left = itertools.chain(durations, itertools.repeat(durations[-1]))

        def call():
            self.order.append(name)
            self.now += next(left)

        return call


def test_a_warm_up_goes_on_until_two_windows_agree():
    clock = FakeClock()
    call = clock.runs("a", [100 * MS] * 5 + [10 * MS] * 5 + [1 * MS])
    found = warm_up(call, Pace(warm_seconds=9), clock)
    assert (found.runs, found.stable, found.typical_ns) == (20, True, MS)
    assert found.seconds == pytest.approx(0.56)


def test_a_warm_up_that_never_settles_ends_and_says_so():
    clock = FakeClock()
    grow = [MS * 2 ** (number // 5) for number in range(100)]
    found = warm_up(clock.runs("a", grow), Pace(warm_seconds=1), clock)
    assert not found.stable
    assert 1 <= found.seconds < 2.1


def test_runs_of_many_seconds_are_warmed_up_in_windows_of_two():
    clock = FakeClock()
    found = warm_up(clock.runs("a", [30_000 * MS]), Pace(warm_seconds=2), clock)
    assert found.runs == 2


def test_candidates_take_turns_and_the_first_run_of_a_turn_is_not_counted():
    clock = FakeClock()
    pace = Pace(seconds=0, fewest_rounds=4, turn_seconds=0.003, warm_seconds=0)
    calls = {"a": clock.runs("a", [MS]), "b": clock.runs("b", [3 * MS])}
    found = measure(calls, pace, seed=0, clock=clock)
    assert [len(one) for one in found["a"].rounds] == [3] * 4
    assert [len(one) for one in found["b"].rounds] == [1] * 4
    assert {one for taken in found["a"].rounds for one in taken} == {MS}
    # After the warm-ups each round is one turn of each: 1 + 3 of a, 1 + 1 of b.
    warm = found["a"].warm_up.runs + found["b"].warm_up.runs
    turns = [list(group) for _, group in itertools.groupby(clock.order[warm:])]
    assert sum(map(len, turns)) == 4 * (4 + 2)
    rounds = [set(clock.order[warm + 6 * number : warm + 6 * number + 6]) for number in range(4)]
    assert rounds == [{"a", "b"}] * 4


def test_the_order_within_a_round_changes():
    clock = FakeClock()
    calls = {name: clock.runs(name, [MS]) for name in "abc"}
    found = measure(calls, Pace(seconds=0, fewest_rounds=8, turn_seconds=0, warm_seconds=0), seed=1, clock=clock)
    warm = sum(one.warm_up.runs for one in found.values())
    first = {clock.order[warm + 6 * number] for number in range(8)}
    assert len(first) > 1


def test_every_turn_begins_with_a_rest():
    clock = FakeClock()
    calls = {name: clock.runs(name, [MS]) for name in "ab"}
    pace = Pace(seconds=0, fewest_rounds=3, turn_seconds=0, warm_seconds=0)
    found = measure(calls, pace, seed=0, clock=clock, rest=lambda: clock.order.append("rest"))
    warm = sum(one.warm_up.runs for one in found.values()) + 2
    turns = clock.order[warm:]
    assert turns[::3] == ["rest"] * 6
    assert turns.count("rest") == 6


@pytest.mark.parametrize(("spinning_ms", "windows"), [(0, 1), (8, 3), (10_000, 20)])
def test_a_rest_lasts_until_no_thread_spins(spinning_ms, windows):
    now = []

    def used():
        return min(5 * len(now), spinning_ms) / 1e3

    let_threads_sleep(now.append, used)
    assert len(now) == windows


def test_long_runs_have_none_before_them_that_is_not_counted():
    clock = FakeClock()
    found = measure({"a": clock.runs("a", [50 * MS])}, Pace(seconds=0, fewest_rounds=3), seed=0, clock=clock)
    assert len(clock.order) == found["a"].warm_up.runs + 3


def test_what_is_slow_for_a_moment_hits_all_alike():
    clock = FakeClock()

    def slowed(name, each):
        def call():
            clock.now += each * (3 if clock.now > 400 * MS else 1)

        return call

    calls = {"a": slowed("a", MS), "b": slowed("b", 2 * MS)}
    found = measure(calls, Pace(seconds=0.4, warm_seconds=0, width=0), seed=0, clock=clock)
    slow = {name: [max(one) > (MS if name == "a" else 2 * MS) for one in found[name].rounds] for name in found}
    assert True in slow["a"]
    assert False in slow["a"]
    assert sum(one != other for one, other in zip(slow["a"], slow["b"], strict=True)) <= 1


def test_the_time_ends_it_but_never_before_the_fewest_rounds():
    clock = FakeClock()
    pace = Pace(seconds=1.0, fewest_rounds=5, turn_seconds=0, width=0)
    found = measure({"a": clock.runs("a", [10 * MS])}, pace, seed=0, clock=clock)
    assert len(found["a"].rounds) == 50  # 1 s, each round 10 ms uncounted and 10 ms counted
    found = measure({"a": clock.runs("a", [9_000 * MS])}, pace, seed=0, clock=clock)
    assert len(found["a"].rounds) == 5


def test_sure_medians_end_it_early_once_there_are_enough_runs():
    clock = FakeClock()
    pace = Pace(seconds=1e6, fewest_rounds=6, fewest_runs=200, turn_seconds=0.02, most_in_turn=20)
    found = measure({"a": clock.runs("a", [MS])}, pace, seed=0, clock=clock)
    assert sum(map(len, found["a"].rounds)) == 200
    unsure = clock.runs("b", [MS, 2 * MS, 4 * MS] * 10_000)
    found = measure({"b": unsure}, Pace(seconds=1.0, turn_seconds=0, most_rounds=100), seed=0, clock=clock)
    assert len(found["b"].rounds) == 100


def test_energy_and_preemptions_are_told_for_one_run():
    clock = FakeClock()
    # A counter that moves with time: 5 joules a second, and wraps around once.
    found = measure(
        {"a": clock.runs("a", [MS])},
        Pace(seconds=0, fewest_rounds=4, turn_seconds=0.01, warm_seconds=0),
        seed=0,
        clock=clock,
        meter=lambda: (clock.now / 1e9 * 5) % 0.21,
        preempted=lambda: clock.now // (2 * MS),
    )
    assert found["a"].joules == pytest.approx(0.005)
    assert found["a"].preempted == pytest.approx(0.5)
    quiet = measure({"a": clock.runs("a", [MS])}, Pace(seconds=0), seed=0, clock=clock)
    assert (quiet["a"].joules, quiet["a"].preempted) == (None, None)
