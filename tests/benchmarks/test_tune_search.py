"""The tuner's search over setups whose speed is made up, so that what it must choose is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rnnx.benchmarks.bench.intervals import means, p50s, p99s, paired_ratio
from rnnx.benchmarks.tune.objectives import check_objective, gain, pace_of, value_of
from rnnx.benchmarks.tune.search import Search
from rnnx.benchmarks.tune.setups import Setup, first_setups, neighbours
from rnnx.errors import InputError
from rnnx.manifest import Tolerance, Variant

DEFAULT = Setup(precision="fp32")
ROUNDS, RUNS = 20, 10


class FakeBench:
    """Durations by a function of the setup, in microseconds, with a noise of half a percent that rounds share."""

    def __init__(self, microseconds, *, refused=None, tail=None):
        """``tail``: which setups have one run in twenty that takes ten times as long."""
        self.microseconds, self.refused, self.tail = microseconds, refused or {}, tail or (lambda _: False)
        self.measured = []
        self._generator = np.random.default_rng(0)

    def obstacle(self, setup):
        return self.refused.get(setup.name, "")

    def measure(self, setups, seconds):
        self.measured.append((tuple(one.name for one in setups), seconds))
        # A slow moment of the machine hits all alike.
        drift = self._generator.uniform(1, 1.5, ROUNDS)
        found = {}
        for one in setups:
            times = 1e3 * self.microseconds(one) * drift[:, None] * self._generator.normal(1, 0.005, (ROUNDS, RUNS))
            if self.tail(one):
                times[:, 0] *= np.where(np.arange(ROUNDS) % 2, 10, 1)
            found[one] = [tuple(map(int, row)) for row in times]
        return found


def variant(precision, form="", operators=("GRU",)):
    return Variant(
        precision=precision,
        mode="offline",
        file="x.onnx",
        opset=20,
        tolerance=Tolerance(atol=1e-5, floor=1e-3),
        operators=dict.fromkeys(operators, 1),
        form=form,
    )


def search(bench, setups, *, objective="p50", options=True, tell=lambda _: None):
    around = (lambda one: neighbours(one, provider="cpu", operators=("GRU",))) if options else lambda _: []
    found = Search(
        default=DEFAULT,
        bench=bench,
        objective=objective,
        batch=4,
        seconds=2.0,
        seed=0,
        neighbours=around,
        tell=tell,
    )
    return found.run(setups)


SETUPS = first_setups([variant("fp32"), variant("int8")], [1, 2])


def by_precision(**microseconds):
    return lambda one: microseconds[one.precision]


def test_every_variant_with_every_number_of_threads():
    assert [one.name for one in SETUPS] == ["fp32, 1 thread", "fp32, 2 threads", "int8, 1 thread", "int8, 2 threads"]
    (scan,) = first_setups([variant("fp32", "scan")], [1])
    assert (scan.name, scan.is_default, DEFAULT.is_default) == ("fp32 scan, 1 thread", False, True)


def test_int8_is_chosen_where_it_pays():
    outcome = search(FakeBench(by_precision(fp32=100, int8=50)), SETUPS)
    assert outcome.winner == Setup(precision="int8", threads=1)
    trial = outcome.trial(outcome.winner)
    assert trial.verdict == "chosen"
    assert trial.ratio.value == pytest.approx(2, rel=0.01)
    assert trial.ratio.low > 1.95
    assert outcome.trial(DEFAULT).verdict == "default"


@pytest.mark.parametrize("int8", [100, 104, 300])
def test_fp32_is_kept_where_int8_does_not_pay(int8):
    outcome = search(FakeBench(by_precision(fp32=100, int8=int8)), SETUPS)
    assert outcome.winner == DEFAULT
    assert outcome.trial(DEFAULT).verdict == "chosen: nothing beat it beyond noise"


def test_int8_is_not_chosen_for_what_its_threads_gain():
    # One thread is twice as fast as the default, in whatever precision; int8 adds nothing.
    outcome = search(FakeBench(lambda one: {None: 100, 1: 50, 2: 90}[one.threads]), SETUPS)
    assert outcome.winner == Setup(precision="fp32", threads=1)
    assert outcome.trial(Setup(precision="int8", threads=1)).verdict.startswith(
        "no better than 'fp32, 1 thread' beyond"
    )


def test_the_best_without_loss_stays_in_the_search():
    # Both setups of int8 are 2% faster than any of fp32, too little to count; halving alone would leave fp32 out.
    outcome = search(FakeBench(lambda one: 100 if one.threads is None else 50 - (one.precision == "int8")), SETUPS)
    assert outcome.winner.precision == "fp32"


def test_more_threads_are_taken_only_where_they_pay():
    equal = search(FakeBench(lambda one: 100 if one.threads is None else 50), SETUPS[:2])
    assert equal.winner.threads == 1
    faster = search(FakeBench(lambda one: 100 if one.threads is None else 50 / one.threads), SETUPS[:2])
    assert faster.winner.threads == 2


def test_another_form_is_chosen_where_it_pays():
    setups = first_setups([variant("fp32"), variant("fp32", "scan")], [1, 2])
    outcome = search(FakeBench(lambda one: 60 if one.form else 100), setups)
    assert outcome.winner == Setup(precision="fp32", form="scan", threads=1)
    assert search(FakeBench(lambda _: 100), setups).winner == DEFAULT


def test_a_gain_within_what_equal_sessions_differ_by_does_not_count():
    # 6% faster, in every round; but a second session of the default is 8% slower than the first.
    bench = FakeBench(lambda one: 108 if one.again else {"fp32": 100, "int8": 94}[one.precision])
    outcome = search(bench, SETUPS)
    assert outcome.winner == DEFAULT
    assert outcome.noise == pytest.approx(0.08, abs=0.005)
    quiet = search(FakeBench(by_precision(fp32=100, int8=94)), SETUPS)
    assert quiet.winner.precision == "int8"


def test_what_is_certain_but_tiny_does_not_count():
    assert search(FakeBench(by_precision(fp32=100, int8=98)), SETUPS, options=False).winner == DEFAULT


def test_options_that_help_are_put_together():
    gains = {("enable_mem_pattern", False): 0.9, ("graph_optimization_level", "ORT_ENABLE_BASIC"): 0.8}
    gains[("graph_optimization_level", "ORT_ENABLE_EXTENDED")] = 0.95

    def microseconds(one):
        return 100 * np.prod([gains.get(option, 1.1) for option in one.session_options])

    outcome = search(FakeBench(microseconds), SETUPS[:1])
    assert dict(outcome.winner.session_options) == {
        "enable_mem_pattern": False,
        "graph_optimization_level": "ORT_ENABLE_BASIC",  # the better of two values of one option
    }
    assert outcome.trial(outcome.winner).ratio.value == pytest.approx(1 / 0.72, rel=0.02)
    worse = Setup(precision="fp32", threads=1, session_options=(("enable_cpu_mem_arena", False),))
    assert outcome.trial(worse).verdict == "no better than 'fp32, 1 thread'"


def test_options_that_do_not_go_together_fall_back_to_the_best():
    both = {("enable_mem_pattern", False), ("enable_cpu_mem_arena", False)}
    name = Setup(precision="fp32", threads=1, session_options=tuple(sorted(both))).name

    def microseconds(one):
        return 100 * np.prod(
            [{"enable_mem_pattern": 0.7, "enable_cpu_mem_arena": 0.8}.get(n, 1) for n, _ in one.session_options]
        )

    outcome = search(FakeBench(microseconds, refused={name: "refused: no"}), SETUPS[:1])
    assert outcome.winner.session_options == (("enable_mem_pattern", False),)
    assert next(one for one in outcome.trials if one.setup.name == name).verdict == "refused: no"


def test_what_is_refused_is_named_and_never_measured():
    bench = FakeBench(
        by_precision(fp32=100, int8=10), refused={"int8, 1 thread": "refused: 'y' of golden case 0 is off"}
    )
    outcome = search(bench, SETUPS)
    assert outcome.winner == Setup(precision="int8", threads=2)
    refused = outcome.trial(Setup(precision="int8", threads=1))
    assert (refused.verdict, refused.rounds, refused.ratio) == ("refused: 'y' of golden case 0 is off", (), None)
    assert not any("int8, 1 thread" in names for names, _ in bench.measured)


def test_where_all_are_refused_the_default_is_kept():
    outcome = search(FakeBench(by_precision(fp32=100), refused={"fp32, 1 thread": "refused: no"}), SETUPS[:1])
    assert outcome.winner == DEFAULT
    assert outcome.trials[0].setup == DEFAULT


def test_halving_gives_the_better_half_more_time():
    setups = first_setups([variant("fp32")], [1, 2, 3, 4, 5, 6, 7, 8])
    bench = FakeBench(lambda one: 100 if one.threads is None else 60 + one.threads)
    told = []
    outcome = search(bench, setups, options=False, tell=told.append)
    assert outcome.winner.threads == 1
    assert [(len(names) - 1, seconds) for names, seconds in bench.measured] == [(8, 0.5), (4, 1.0), (2, 2.0), (3, 2.0)]
    assert all(names[0] == DEFAULT.name for names, _ in bench.measured), "everything is measured beside the default"
    assert told[-1] == "the final: 2 beside the default"
    assert outcome.trial(setups[7]).verdict == "behind 'fp32, 1 thread'"


def test_the_final_alone_decides():
    """A setup that was lucky before is not chosen for it."""

    class Lucky(FakeBench):
        def measure(self, setups, seconds):
            final = any(one.again for one in setups)
            self.microseconds = lambda one: 100 if final or one.threads is None else 50
            return super().measure(setups, seconds)

    assert search(Lucky(None), SETUPS).winner == DEFAULT


def test_each_objective_looks_at_its_own_number():
    # int8: a median a third lower, and one run in twenty that takes ten times as long.
    speeds = by_precision(fp32=100, int8=66)
    choices = {
        objective: search(
            FakeBench(speeds, tail=lambda one: one.precision == "int8"), SETUPS, objective=objective
        ).winner
        for objective in ("p50", "p99")
    }
    assert choices["p50"].precision == "int8"
    assert choices["p99"].precision == "fp32"
    # The mean of int8 is 1 + 9/20 times its median: 72 and 109.
    for int8, expected in ((50, "int8"), (75, "fp32")):
        bench = FakeBench(by_precision(fp32=100, int8=int8), tail=lambda one: one.precision == "int8")
        assert search(bench, SETUPS, objective="throughput").winner.precision == expected


ROWS = [(1_000_000, 3_000_000), (2_000_000, 2_000_000), (5_000_000, 9_000_000)]


def test_the_values_of_objectives():
    flat = np.concatenate(ROWS) / 1e6
    assert value_of("p50", ROWS, batch=4) == pytest.approx(np.median(flat))
    assert value_of("p99", ROWS, batch=4) == pytest.approx(np.percentile(flat, 99))
    assert value_of("throughput", ROWS, batch=4) == pytest.approx(4 * len(flat) / (flat.sum() / 1e3))


@pytest.mark.parametrize("rounds", [ROWS, [(3,), (1, 2, 2), (7, 8, 9, 1)]])
def test_statistics_with_weights_are_those_of_repeated_rounds(rounds):
    weights = np.array([[1, 1, 1], [0, 2, 1], [3, 0, 0]], np.float32)
    for row, p50, p99, mean in zip(
        weights, p50s(rounds, weights), p99s(rounds, weights), means(rounds, weights), strict=True
    ):
        runs = np.concatenate([np.tile(one, int(often)) for one, often in zip(rounds, row, strict=True) if often])
        assert p50 == pytest.approx(np.median(runs))
        assert p99 == pytest.approx(np.quantile(runs, 0.99, method="inverted_cdf"))
        assert mean == pytest.approx(runs.mean())


def test_a_gain_is_above_one_where_the_candidate_is_better():
    slow, fast = [(300, 330), (310, 320), (305, 315)], [(100, 110), (103, 107), (101, 105)]
    for objective in ("p50", "p99", "throughput"):
        found = gain(objective, slow, fast, seed=0)
        assert 2.8 < found.low <= found.value <= found.high < 3.2
    assert gain("p50", slow, fast, seed=0) == paired_ratio(slow, fast, seed=0)


def test_only_medians_end_a_measurement_early():
    assert pace_of("p50", 1.0).width > 0
    assert pace_of("p99", 1.0).width == pace_of("throughput", 1.0).width == 0
    assert pace_of("p50", 3.0).seconds == 3.0


def test_unknown_objectives():
    with pytest.raises(InputError, match=r"--objective 'p42' is not known\. Allowed are 'p50', 'p99', 'throughput'\."):
        check_objective("p42")


def test_options_are_tried_where_they_can_do_something():
    def names(setup, provider="cpu", operators=("LSTM",)):
        found = neighbours(setup, provider=provider, operators=operators)
        return {name for one in found for name, _ in (*one.session_options, *one.provider_options)}

    one, two = Setup(precision="fp32", threads=1), Setup(precision="fp32", threads=2)
    assert names(two) - names(one) == {"session.intra_op.allow_spinning", "session.dynamic_block_base"}
    assert "session.set_denormal_as_zero" not in names(two)
    assert "cudnn_conv_algo_search" not in names(two, "cuda")
    assert "cudnn_conv_algo_search" in names(two, "cuda", ("Conv", "LSTM"))
    assert all(found.threads == 2 and found.options == 1 for found in neighbours(two, provider="cpu", operators=()))
    assert replace(two, again=True).name == "fp32, 2 threads, again"
