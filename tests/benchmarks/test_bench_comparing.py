"""A planted regression is found, and noise is not."""

import json

import numpy as np
import pytest

from rnnx.benchmarks.bench.comparing import compare_reports
from rnnx.benchmarks.bench.files import keep, read_report
from rnnx.errors import InputError


def rounds(median_ms, seed, *, spread=0.02, count=40):
    taken = median_ms * 1e6 * np.exp(np.random.default_rng(seed).normal(0, spread, (count, 5)))
    return taken.astype(np.int64).tolist()


@pytest.fixture
def report(build):
    """Makes a report of one variant, and bare ONNX Runtime beside it where its duration is given."""

    def made(own_ms, peer_ms=None, *, seed=0, machine=None, agrees=True):
        own = rounds(own_ms, 10 + seed)
        if peer_ms is None:
            rows = [build.row("rnnx", own, own, is_reference=True, agrees=agrees)]
        else:
            peer = rounds(peer_ms, 20 + seed)
            rows = [
                build.row("rnnx", own, peer, agrees=agrees),
                build.row("onnxruntime", peer, peer, is_reference=True),
            ]
        return build.report(rows, machine=build.machine | (machine or {})).to_json()

    return made


def test_a_planted_regression_is_found_and_noise_is_not(report):
    (same,) = compare_reports(report(1.0, 2.0), report(1.0, 2.0, seed=1)).changes
    assert (same.verdict, same.against) == ("same", "onnxruntime")
    (slower,) = compare_reports(report(1.0, 2.0), report(1.2, 2.0, seed=1)).changes
    assert slower.verdict == "SLOWER"
    assert slower.change.value == pytest.approx(1.2, rel=0.03)
    (faster,) = compare_reports(report(1.0, 2.0), report(0.8, 2.0, seed=1)).changes
    assert faster.verdict == "faster"
    found = compare_reports(report(1.0, 2.0), report(1.2, 2.0, seed=1))
    assert not found.passed
    assert [one.candidate for one in found.regressions] == ["rnnx fp32"]


def test_a_machine_that_is_slower_today_is_no_regression(report):
    """Both take half as long again: only where nothing stood beside it is that a regression."""
    (beside,) = compare_reports(report(1.0, 2.0), report(1.5, 3.0, seed=1)).changes
    assert beside.verdict == "same"
    (alone,) = compare_reports(report(1.0), report(1.5, seed=1)).changes
    assert (alone.verdict, alone.against) == ("SLOWER", "")


def test_a_change_below_the_threshold_does_not_count(report):
    old, new = report(1.0, 2.0), report(1.04, 2.0, seed=1)
    assert compare_reports(old, new).passed
    assert not compare_reports(old, new, threshold=0.0).passed


def test_rows_that_are_noisy_in_themselves_must_differ_by_more(report):
    old, new = report(1.0, 2.0), report(1.2, 2.0, seed=1)
    for data in (old, new):
        data["rows"][0]["noise"] = 0.15
    (change,) = compare_reports(old, new).changes
    assert (change.verdict, change.beyond) == ("same", pytest.approx(0.3))


def test_an_answer_that_became_wrong_is_told(report):
    found = compare_reports(report(1.0, 2.0), report(1.0, 2.0, seed=1, agrees=False))
    assert not found.passed
    assert found.wrong == ("rnnx fp32 | offline, 1 thread, batch 1, time 10",)


def test_on_another_machine_only_ratios_are_compared(report):
    other = {"cpu": "Another", "cores": 64}
    found = compare_reports(report(1.0, 2.0), report(0.5, 1.0, seed=1, machine=other))
    assert [one.verdict for one in found.changes] == ["same"]
    assert found.notes[0].startswith("the machines differ (cpu, cores): A Processor")
    with pytest.raises(InputError, match=r"nothing that can be compared: the machines differ .* --peers onnxruntime"):
        compare_reports(report(1.0), report(1.0, machine=other))


def test_benchmarks_of_other_things_are_not_compared(report):
    new = report(1.0, 2.0)
    for row in new["rows"]:
        row["key"] = row["key"].replace("time 10", "time 11")
    with pytest.raises(InputError, match="they measured other things"):
        compare_reports(report(1.0, 2.0), new)


def test_rows_that_are_gone_and_versions_that_changed_are_told(report):
    old, new = report(1.0, 2.0), report(1.0, 2.0, seed=1, machine={"versions": {"rnnx": "0.2.0", "numpy": "2.0"}})
    gone = json.loads(json.dumps(old["rows"][0]))
    gone["key"] = "rnnx int8 | offline, 1 thread, batch 1, time 10"
    old["rows"].append(gone)
    found = compare_reports(old, new)
    assert found.missing == (gone["key"],)
    assert "rnnx 0.1.0 then, 0.2.0 now" in found.notes
    assert "numpy absent then, 2.0 now" in found.notes


def test_a_report_is_read_back_and_anything_else_is_refused(report, tmp_path):
    file = tmp_path / "old.json"
    file.write_text(json.dumps(report(1.0, 2.0)), encoding="utf-8")
    assert read_report(str(file)) == report(1.0, 2.0)
    for content, said in (
        ("{", "cannot be read as a benchmark's JSON"),
        ("[1]", "is not a benchmark of rnnx"),
        ('{"schema": "rnnx-bench", "schema_version": 99}', "schema version 99; this rnnx reads 1"),
        ('{"schema": "rnnx-bench", "schema_version": 1, "rows": [{}]}', "a row has no 'rounds_ms'"),
    ):
        file.write_text(content, encoding="utf-8")
        with pytest.raises(InputError, match=said):
            read_report(str(file))
    with pytest.raises(InputError, match=r"absent\.json' cannot be read"):
        read_report(str(tmp_path / "absent.json"))


def test_what_was_measured_is_kept_even_if_it_cannot_be_compared(report, build, tmp_path):
    row = build.row("rnnx", rounds(1.0, 1), rounds(1.0, 1), is_reference=True)
    old = report(1.0)
    old["rows"][0]["key"] = "rnnx int8 | elsewhere"
    files = {"json_file": str(tmp_path / "new.json"), "html_file": str(tmp_path / "new.html")}
    with pytest.raises(InputError, match="they measured other things"):
        keep(build.report([row]), old=old, threshold=0.05, **files)
    assert read_report(files["json_file"])["rows"][0]["key"] == row.key
    assert "Benchmark of tiny" in (tmp_path / "new.html").read_text()


def test_a_page_of_nothing_and_of_one_row_is_a_page(build, tmp_path):
    row = build.row("rnnx", rounds(1.0, 1), rounds(1.0, 1), is_reference=True)
    for rows in ([], [row]):
        keep(build.report(rows), old=None, threshold=0, json_file=None, html_file=str(tmp_path / "one.html"))
        assert "All rows" in (tmp_path / "one.html").read_text()
