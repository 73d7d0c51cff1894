"""Percentiles and intervals against numbers that are known."""

import numpy as np
import pytest

from rnnx.benchmarks.bench.intervals import (
    independent_ratio,
    interval_text,
    latency,
    narrow,
    noise,
    paired_ratio,
    round_medians,
)


def rounds(median_ns, spread, *, count=60, each=5, seed=0, drift=None):
    """Rounds of durations around a median; `drift` multiplies each round."""
    generator = np.random.default_rng(seed)
    taken = median_ns * np.exp(generator.normal(0, spread, (count, each)))
    if drift is not None:
        taken *= drift[:, None]
    return taken.astype(np.int64).tolist()


def test_percentiles_are_those_of_all_runs():
    found = latency([[1_000_000 * one for one in range(1, 51)], [1_000_000 * one for one in range(51, 102)]])
    assert (found.p50, found.minimum, found.maximum, found.runs) == (51.0, 1.0, 101.0, 101)
    assert (found.p95, found.p99) == (96.0, 100.0)
    assert found.mean == pytest.approx(51.0)
    assert found.spread == pytest.approx(50 / 51)


def test_a_ratio_is_that_of_the_medians_and_says_how_sure_it_is():
    slow, fast = rounds(3e6, 0.05, seed=1), rounds(1e6, 0.05, seed=2)
    found = paired_ratio(slow, fast, seed=0)
    assert found.value == pytest.approx(latency(slow).p50 / latency(fast).p50)
    assert found.low < 3 < found.high
    assert found.high / found.low < 1.06
    assert found.certain
    assert not paired_ratio(fast, fast, seed=0).certain
    assert paired_ratio(slow, fast, seed=0) == found


def test_what_drifts_for_both_alike_does_not_widen_the_ratio():
    drift = np.exp(np.random.default_rng(3).normal(0, 0.4, 60))
    slow, fast = rounds(2e6, 0.01, seed=1, drift=drift), rounds(1e6, 0.01, seed=2, drift=drift)
    paired = paired_ratio(slow, fast, seed=0)
    apart = independent_ratio(round_medians(slow), round_medians(fast), seed=0)
    assert paired.low < 2 < paired.high
    assert paired.high - paired.low < 0.5 * (apart.high - apart.low)


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    held = 0
    for seed in range(100):
        first, second = rounds(1e6, 0.1, count=24, seed=2 * seed), rounds(1e6, 0.1, count=24, seed=2 * seed + 1)
        found = paired_ratio(first, second, seed=seed)
        held += found.low <= 1 <= found.high
    assert held >= 88


def test_noise_is_what_the_same_thing_differs_by_from_itself():
    assert noise(np.array([1.0, 1.1, 1.0, 1.1, 1.0, 1.1])) == pytest.approx(1 - 1 / 1.1)
    assert noise(np.full(10, 2.0)) == 0
    assert noise(np.array([1.0])) == 0


def test_medians_are_narrow_when_many_rounds_agree():
    generator = np.random.default_rng(0)
    values = np.exp(generator.normal(0, 0.02, 400))
    assert narrow(values, 0.005)
    assert not narrow(values[:20], 0.005)
    assert not narrow(np.ones(3), 0.005)


def test_small_ratios_keep_two_digits():
    assert interval_text(1.519, 1.49, 1.551) == "1.52 [1.49, 1.55]"
    assert interval_text(0.0042, 0.0037, 0.0051) == "0.0042 [0.0037, 0.0051]"
