"""The benchmark runs, and judges by its limit. What it measures is for `make bench`, not for tests."""

import json

import pytest
from click.testing import CliRunner

from rnnx.benchmarks import session_overhead, stream_overhead


@pytest.mark.parametrize(("limit", "code"), [(1e9, 0), (-1e9, 1)])
def test_it_judges_by_its_limit(monkeypatch, limit, code):
    monkeypatch.setattr(session_overhead, "LIMIT_US", limit)
    monkeypatch.setattr(session_overhead, "WARMUP", 1)
    done = CliRunner().invoke(session_overhead.main, ["--rounds", "3", "--json"])
    assert done.exit_code == code, done.output + repr(done.exception)
    report = json.loads(done.stdout)
    assert report["passed"] is (code == 0)
    assert len(report["cases"]) == 4
    for case in report["cases"]:
        assert case["overhead_us"] == pytest.approx(case["session_us"] - case["bare_us"])
        assert case["bare_us"] > 0


@pytest.mark.parametrize(("limit", "code"), [(1e9, 0), (-1e9, 1)])
def test_a_step_is_judged_by_its_limit(monkeypatch, limit, code):
    monkeypatch.setattr(stream_overhead, "LIMIT_US", limit)
    monkeypatch.setattr(session_overhead, "WARMUP", 1)
    done = CliRunner().invoke(stream_overhead.main, ["--rounds", "3", "--json"])
    assert done.exit_code == code, done.output + repr(done.exception)
    report = json.loads(done.stdout)
    assert report["passed"] is (code == 0)
    assert report["push_us"] > 0
    assert report["bare_us"] > 0
