"""The machinery that puts a server under load: it counts right, compares answers, and says what was missed."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
from dataclasses import replace
from types import SimpleNamespace

import click
import numpy as np
import pytest
from click.testing import CliRunner

from rnnx.benchmarks.serve import client as client_module
from rnnx.benchmarks.serve import load, soak
from rnnx.benchmarks.serve.client import Load, latency
from rnnx.benchmarks.serve.job import Job, Latency, Outcome
from rnnx.benchmarks.serve.material import error_of, export_lstm, make_material
from rnnx.benchmarks.serve.server import Memory, ServerProcess
from rnnx.benchmarks.serve.truth import STREAM_FRAMES, agrees
from rnnx.benchmarks.serve.visit import Visit, cuts


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    pytest.importorskip("uvicorn")
    pytest.importorskip("grpc")
    path = tmp_path_factory.mktemp("serve") / "lstm.rnnx"
    export_lstm(path, hidden=5, layers=1, features=3)
    return path


@pytest.fixture
def short_wait(monkeypatch):
    monkeypatch.setattr(client_module, "_LAST_S", 0.1)


def outcome(**changes):
    took = Latency(count=1, p50_ms=1.0, p95_ms=2.0, p99_ms=3.0, p999_ms=4.0, max_ms=5.0)
    given = {
        "per_s": 2000.0,
        "refusals_per_s": 0.0,
        "sent": 1,
        "given_up": 0,
        "lost": 0,
        "answered": took,
        "refused": took,
        "sending": took,
        "checked": 1,
        "max_abs_diff": 0.0,
        "client_cpu": 0.1,
    }
    return Outcome(**(given | changes))


def test_percentiles():
    found = latency([number / 1e3 for number in range(1, 102)])
    assert (found.count, found.p50_ms, found.p95_ms, found.p99_ms, found.max_ms) == (101, 51.0, 96.0, 100.0, 101.0)
    assert latency([]).count == 0


def test_growth_of_memory():
    memory = Memory(SimpleNamespace(rss_mib=lambda: 0.0), every_s=1.0)
    memory.samples = [(0.0, 900.0), *((float(at), 100.0 + 0.5 * at) for at in range(10, 30))]
    assert memory.slope(10.0) == pytest.approx(30.0)
    assert memory.most_mib == 900.0
    assert memory.slope(29.0) == 0.0


def test_an_answer_is_right_only_in_size_and_value():
    right = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    assert error_of(b"{}" + right.tobytes(), 2, right) == 0.0
    assert error_of(b"{}" + (right + 0.5).tobytes(), 2, right) == 0.5
    assert error_of(right.tobytes()[:-4], 0, right) == float("inf")
    assert error_of(right.tobytes()[:-1], 0, right) == float("inf")
    assert agrees(right, right + 5e-5)
    assert not agrees(right, right + 1e-3)
    assert not agrees(right[:, :1], right)


def test_chunks_are_the_whole_stream():
    parts = list(cuts(random.Random(1)))  # noqa: S311
    assert [part.start for part in parts[1:]] == [part.stop for part in parts[:-1]]
    assert (parts[0].start, parts[-1].stop) == (0, STREAM_FRAMES)
    assert len({part.stop - part.start for part in parts}) > 1


def test_goals():
    rates = tuple(
        load.Rate(batch=batch, time=time, connections=1, outcome=outcome(per_s=1300.0)) for batch, time in load.SHAPES
    )
    half = load.Half(rate=1.0, spread=4.9, rounds=())
    over = load.Overload(
        batch=1,
        time=8,
        peak_per_s=100.0,
        of_peak=0.81,
        outcome=outcome(),
        rss_before_mib=1.0,
        rss_max_mib=2.0,
        rss_after_mib=1.0,
        refused_by_server=0,
    )
    assert load.judge(rates, half, [over]) == []
    slow = (replace(rates[0], outcome=outcome(per_s=1100.0)), rates[1])
    worst = replace(over, of_peak=0.5, outcome=outcome(lost=2, refused=replace(over.outcome.refused, p99_ms=51.0)))
    missed = load.judge(slow, replace(half, spread=5.1), [worst])
    assert [one.split(" ")[0] for one in missed] == ["1100", "p99", "refusals", "50%", "2"]
    report = load.Report(rates=slow, foreign=(), half=half, overloads=(worst,), missed=tuple(missed))
    assert load.table(report).count("MISSED") == 5


async def answering(answer):
    """A server that answers every request on a connection with what ``answer(number)`` gives; None closes it."""
    number = 0

    async def talk(reader, writer):
        nonlocal number
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                (length,) = [line for line in head.split(b"\r\n") if line.startswith(b"content-length")]
                await reader.readexactly(int(length.split(b":")[1]))
                number += 1
                found = answer(number)
                if found is None:
                    break
                writer.write(found)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    return await asyncio.start_server(talk, "127.0.0.1", 0)


def told(material, status, values, json_bytes=2):
    body = b"{}"[:json_bytes] + values.tobytes() if status == 200 else b"{}"
    head = (
        f"HTTP/1.1 {status} X\r\ninference-header-content-length: {json_bytes}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def run_load(bundle, answer, **changes):
    async def main():
        server = await answering(answer)
        async with server:
            port = server.sockets[0].getsockname()[1]
            given = {"batch": 1, "time": 2, "seconds": 0.3, "connections": 1, "port": port, "bundle": str(bundle)}
            return await Load(Job(**(given | changes)), material).run()

    material = make_material(bundle, batch=1, time=2, kinds=2)
    return asyncio.run(main())


def test_a_closed_loop_counts_what_came(bundle):
    material = make_material(bundle, batch=1, time=2, kinds=2)

    def answer(number):
        if number == 40:
            return None
        return told(material, 503 if number % 4 == 0 else 200, material.answers[(number - 1) % 2])

    found = run_load(bundle, answer)
    assert found.statuses == {"200": 30, "503": 9}
    assert (found.sent, found.lost, found.given_up) == (40, 1, 0)
    assert (found.answered.count, found.refused.count) == (30, 9)
    assert (found.checked, found.max_abs_diff) == (2, 0.0)


def test_an_answer_to_another_request_is_seen(bundle, monkeypatch):
    material = make_material(bundle, batch=1, time=2, kinds=2)
    found = run_load(bundle, lambda number: told(material, 200, material.answers[number % 2]))
    assert found.max_abs_diff > 1e-3
    monkeypatch.setattr(client_module, "Load", lambda job, material: SimpleNamespace(run=lambda: as_future(found)))
    with pytest.raises(click.ClickException, match="an answer differs by"):
        client_module.do(Job(port=1, bundle=str(bundle), batch=1, time=2, seconds=0.1, connections=1))


async def as_future(value):
    return value


@pytest.mark.usefixtures("short_wait")
def test_an_open_loop_sends_whatever_is_answered(bundle):
    material = make_material(bundle, batch=1, time=2, kinds=2)
    answers = []

    def slow(number):
        answers.append(number)
        return told(material, 200, material.answers[(number - 1) % 2])

    found = run_load(bundle, slow, rate=200.0)
    assert found.sent == found.answered.count == len(answers) == 60
    assert found.given_up == 0
    # Nobody answers: one request of each connection is sent, all others are given up, or wait until the end.
    assert run_load(bundle, lambda _: b"", rate=200.0, patient=False, connections=3).given_up == 57


@pytest.mark.usefixtures("short_wait")
def test_a_patient_client_counts_what_waited_as_lost(bundle):
    found = run_load(bundle, lambda _: b"", rate=200.0, connections=3)
    assert (found.sent, found.lost, found.given_up) == (3, 60, 0)


@pytest.mark.slow
def test_a_server_under_load(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(load, "CONNECTIONS", (1, 4))
    monkeypatch.setattr(load, "_WARM_S", 0.1)
    monkeypatch.setattr(load, "OVERLOADED", ((1, 8),))
    monkeypatch.setattr(load, "CROWD", 400)
    arguments = [
        "--bundle",
        str(bundle),
        "--seconds",
        "0.3",
        "--rounds",
        "1",
        "--overload",
        "1",
        "--max-queue",
        "16",
        "--json",
    ]
    done = CliRunner().invoke(load.main, arguments)
    report = json.loads(done.stdout)
    assert done.exit_code == (1 if report["missed"] else 0), done.output
    assert len(report["rates"]) == 4
    for one in report["rates"]:
        assert set(one["outcome"]["statuses"]) == {"200"}
        assert one["outcome"]["checked"] > 0
        assert one["outcome"]["max_abs_diff"] <= 1e-4
    assert len(report["foreign"]) == sum(shutil.which(tool) is not None for tool in ("wrk", "hey"))
    for one in report["foreign"]:
        assert one["failed"] == 0
        assert one["checked"] > 0
    (over,) = report["overloads"]
    refused = over["outcome"]["statuses"].get("503", 0)
    assert over["refused_by_server"] == refused > 0
    assert over["outcome"]["sent"] == sum(over["outcome"]["statuses"].values())


@pytest.mark.slow
def test_a_short_soak(bundle):
    done = CliRunner().invoke(soak.main, ["--bundle", str(bundle), "--seconds", "6", "--clients", "3", "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["passed"]
    assert (report["streams_left"], report["exit_code"], report["failures"]) == (0, 0, [])
    for what in ("streams finished", "streams resumed", "WebSockets killed", "calls cancelled", "streams idled out"):
        assert report["counts"][what] > 0, what


@pytest.mark.slow
def test_a_wrong_truth_fails_a_soak(bundle, tmp_path, monkeypatch):
    find = soak.find_truth

    def wrong(*args, **options):
        truth = find(*args, **options)
        return replace(truth, answers=truth.answers[::-1].copy())

    monkeypatch.setattr(soak, "find_truth", wrong)
    report = soak.soak(bundle, tmp_path, seconds=1.0, clients=1)
    assert not report.passed
    assert any("a wrong answer" in one for one in report.failures)


@pytest.mark.slow
def test_a_server_that_does_not_start_is_said(tmp_path):
    with pytest.raises(click.ClickException, match=r"the server did not listen: .*nothing\.rnnx"):
        ServerProcess(tmp_path / "nothing.rnnx", tmp_path)


def test_failures_are_kept_in_bounds():
    visit = Visit(truth=None, http=1, grpc=2, idle_s=1.0, until=0.0)
    for number in range(100):
        visit.fail(str(number))
    assert (visit.counts["failures"], len(visit.failures)) == (100, 20)
    assert not visit.goes_on()
