"""The benchmark of fp32's forms runs, and every candidate of it answers alike. What it measures is not for tests."""

import json

import pytest
from click.testing import CliRunner

from rnnx.benchmarks import fp32_forms
from rnnx.benchmarks.bench.schedule import Pace


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_every_candidate_is_timed_and_answers_alike(monkeypatch, kind):
    monkeypatch.setattr(fp32_forms, "SIZES", ((5, 8),))
    monkeypatch.setattr(fp32_forms, "SHAPES", ((1, 1), (3, 4)))
    pace = Pace(seconds=0.001, fewest_rounds=3, warm_seconds=0.005, turn_seconds=0.0005)
    monkeypatch.setattr(fp32_forms, "Pace", lambda **_: pace)
    done = CliRunner().invoke(fp32_forms.main, ["--kind", kind, "--json"])
    assert done.exit_code == 0, done.output + repr(done.exception)
    rows = json.loads(done.stdout)
    assert [(row["batch"], row["candidate"]) for row in rows] == [
        (batch, candidate) for batch in (1, 3) for candidate in ("onnxruntime", "rnnx", "rnnx scan", "torch")
    ]
    for row in rows:
        assert row["max_abs_diff"] < 1e-6
        assert row["median_ms"] > 0
        assert row["low"] <= row["times_as_fast"] <= row["high"]
        if row["candidate"] == "onnxruntime":
            assert row["times_as_fast"] == 1
    # Not the same graph twice.
    assert any(row["max_abs_diff"] > 0 for row in rows if row["candidate"] == "rnnx scan")
