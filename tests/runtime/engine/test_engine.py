"""Futures, deadlines, cancellation, refusal, failing batches, the end: on a session that can be held up."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import subprocess
import sys
import threading

import numpy as np
import pytest

import rnnx
from rnnx.errors import DeadlineError, InputError, QueueFullError, SessionError, ShapeError, VariantError
from rnnx.runtime import engine as room

Engine = functools.partial(room.Engine, probe=False)  # a probe would be held up too


class Clock:
    """Nanoseconds that a test moves."""

    def __init__(self):
        self.now = 0

    def __call__(self):
        return self.now


@pytest.fixture
def held(fake):
    """The fake session, held up in its first run."""
    fake.gate.clear()
    return fake


def hold(engine, fake, row):
    """One request that is running until the gate opens."""
    running = engine.submit(row(-1))
    assert fake.begun.acquire(timeout=30)
    return running


def check_balance(statistics):
    """Every request that came is counted in exactly one way."""
    told = statistics.answered + statistics.failed + statistics.expired + statistics.cancelled
    assert statistics.submitted == told + statistics.queued + statistics.running


def test_batches_form_while_a_run_goes_on(held, row):
    reports = []
    with Engine(held, on_batch=reports.append) as engine:
        first = hold(engine, held, row)
        others = [engine.submit(row(value)) for value in range(5)]
        held.gate.set()
        assert first.result(30).outputs["y"].tolist() == [[-2]]
        answers = [one.result(30) for one in others]
        assert engine.drain(30)
        found = engine.statistics()
    assert [one.outputs["y"].tolist() for one in answers] == [[[2.0 * value]] for value in range(5)]
    assert held.runs == [[-1], [0, 1, 2, 3, 4]]
    assert [one.batch for one in answers] == [5] * 5
    assert [(one.requests, one.rows) for one in reports] == [(1, 1), (5, 5)]
    assert (found.submitted, found.answered, found.batches, found.rows) == (6, 6, 2, 6)
    assert found.batch_rows == {1: 1, 5: 1}
    assert found.queue_ns == sum(one.queue_ns for one in (first.result(), *answers))
    check_balance(found)


def test_an_answer_owns_its_arrays(held, row):
    with Engine(held) as engine:
        hold(engine, held, row)
        futures = [engine.submit(row(value)) for value in range(3)]
        held.gate.set()
        arrays = [one.result(30).outputs["y"] for one in futures]
    assert all(array.base is None for array in arrays)
    arrays[0][:] = 9
    assert arrays[1].tolist() == [[2]]


def test_each_gets_the_outputs_it_asked_for(held, row):
    with Engine(held) as engine:
        hold(engine, held, row)
        futures = [engine.submit(row(value), outputs=names) for value, names in ((1, ["z"]), (2, ["y"]), (3, None))]
        held.gate.set()
        answers = [one.result(30).outputs for one in futures]
    assert [set(one) for one in answers] == [{"z"}, {"y"}, {"y", "z"}]
    assert answers[0]["z"].tolist() == [[3]]
    assert sorted(held.asked[1]) == ["y", "z"]


def test_a_full_queue_refuses_at_once(held, row):
    with Engine(held, max_queue=2) as engine:
        hold(engine, held, row)
        waiting = [engine.submit(row(value)) for value in range(2)]
        with pytest.raises(QueueFullError, match=r"2 requests wait, and 2 may\. Try again later"):
            engine.submit(row(2))
        assert waiting[0].cancel()  # frees its place at once
        last = engine.submit(row(3))
        held.gate.set()
        assert last.result(30).outputs["y"].tolist() == [[6]]
        assert engine.drain(30)
        found = engine.statistics()
    assert (found.refused, found.cancelled, found.answered) == (1, 1, 3)
    check_balance(found)


def test_a_cancelled_request_is_never_run(held, row):
    with Engine(held) as engine:
        running = hold(engine, held, row)
        waiting = engine.submit(row(1))
        assert waiting.cancel()
        assert waiting.cancel()
        assert engine.statistics().queued == 0
        assert concurrent.futures.wait([waiting], timeout=30).done == {waiting}
        assert not running.cancel()  # it runs
        held.gate.set()
        running.result(30)
    assert held.runs == [[-1]]


def test_what_waits_too_long_is_not_run(held, row):
    clock = Clock()
    with Engine(held, clock=clock) as engine:
        hold(engine, held, row)
        late, in_time = engine.submit(row(1), timeout_s=1.0), engine.submit(row(2), timeout_s=3.0)
        clock.now = 2 * 10**9
        held.gate.set()
        with pytest.raises(DeadlineError, match=r"waited 2000\.0 ms and was not begun within its time"):
            late.result(30)
        assert in_time.result(30).queue_ns == 2 * 10**9
        found = engine.statistics()
    assert found.expired == 1
    assert held.runs == [[-1], [2]]
    check_balance(found)


def test_a_full_queue_is_cleared_of_what_is_late(held, row):
    clock = Clock()
    with Engine(held, clock=clock, max_queue=1) as engine:
        hold(engine, held, row)
        late = engine.submit(row(1), timeout_s=1.0)
        clock.now = 2 * 10**9
        engine.submit(row(2))
        assert isinstance(late.exception(0), DeadlineError)
        held.gate.set()


def test_who_waits_is_told_of_the_deadline_while_a_run_goes_on(held, row):
    with Engine(held) as engine:
        hold(engine, held, row)
        with pytest.raises(DeadlineError, match="not begun"):
            engine.run(row(1), timeout_s=0.01)
        with pytest.raises(DeadlineError, match="not begun"):
            asyncio.run(engine.infer(row(1), timeout_s=0.01))
        assert engine.statistics().expired == 2
        held.gate.set()
    assert held.runs == [[-1]]


def test_what_runs_at_its_deadline_is_answered(held, row):
    with Engine(held) as engine:
        threading.Timer(0.1, held.gate.set).start()
        assert engine.run(row(4), timeout_s=0.02).outputs["y"].tolist() == [[8]]


@pytest.mark.parametrize("timeout_s", [0, -1.5])
def test_no_time_at_all(fake, row, timeout_s):
    with Engine(fake) as engine, pytest.raises(DeadlineError, match=f"has {timeout_s} s left"):
        engine.submit(row(1), timeout_s=timeout_s)


def test_all_the_time_there_is(fake, row):
    with Engine(fake) as engine:
        assert engine.run(row(1), timeout_s=float("inf")).outputs["y"].tolist() == [[2]]
        assert asyncio.run(engine.infer(row(2), timeout_s=float("inf"))).outputs["y"].tolist() == [[4]]


def test_a_closed_session_is_refused_at_once(exported):
    with rnnx.load(exported("gru"), provider="cpu") as session:
        pass
    with pytest.raises(SessionError, match="is closed"):
        room.Engine(session)


def test_asyncio_cancellation_takes_the_request_out(held, row):
    async def main(engine):
        tasks = [asyncio.create_task(engine.infer(row(value))) for value in range(3)]
        await asyncio.sleep(0)
        assert engine.statistics().queued == 3
        tasks[1].cancel()
        await asyncio.wait([tasks[1]])
        assert tasks[1].cancelled()
        assert engine.statistics().queued == 2
        held.gate.set()
        return [(await one).outputs["y"].tolist() for one in (tasks[0], tasks[2])]

    with Engine(held) as engine:
        hold(engine, held, row)
        assert asyncio.run(main(engine)) == [[[0]], [[4]]]
        check_balance(engine.statistics())
    assert held.runs == [[-1], [0, 2]]


def test_a_loop_that_is_gone_harms_nobody(held, row):
    async def ask_and_leave(engine):
        request = asyncio.create_task(engine.infer(row(1)))
        assert await asyncio.to_thread(held.begun.acquire, timeout=30)
        request.cancel()

    with Engine(held) as engine:
        asyncio.run(ask_and_leave(engine))
        held.gate.set()
        assert engine.run(row(2)).outputs["y"].tolist() == [[4]]


def test_one_wake_up_for_a_whole_batch(held, row):
    async def main(engine):
        loop = asyncio.get_running_loop()
        wake_ups, plain = [], loop.call_soon_threadsafe
        loop.call_soon_threadsafe = lambda *args, **more: (wake_ups.append(args), plain(*args, **more))[1]
        tasks = [asyncio.create_task(engine.infer(row(value))) for value in range(8)]
        await asyncio.sleep(0)
        held.gate.set()
        await asyncio.gather(*tasks)
        return len(wake_ups)

    with Engine(held) as engine:
        hold(engine, held, row)
        assert asyncio.run(main(engine)) == 1


def test_only_the_request_at_fault_fails(held, row):
    reports = []
    with Engine(held, on_batch=reports.append) as engine:
        hold(engine, held, row)
        futures = [engine.submit(row(value)) for value in (1, -666, 3)]
        held.gate.set()
        assert futures[0].result(30).outputs["y"].tolist() == [[2]]
        assert futures[0].result().batch == 1
        with pytest.raises(SessionError, match="devil"):
            futures[1].result(30)
        assert futures[2].result(30).outputs["y"].tolist() == [[6]]
        found = engine.statistics()
    assert (reports[1].failed, reports[1].retried) == (1, True)
    assert found.failed == 1
    check_balance(found)


def test_wrong_inputs_are_refused_in_the_callers_thread(fake, row):
    with Engine(fake) as engine:
        with pytest.raises(ShapeError, match="axes"):
            engine.submit({"x": np.zeros(3, np.float32)})
        with pytest.raises(VariantError, match="whole sequences"):
            engine.submit(row(1), finish=True)
        with pytest.raises(InputError, match="timeout_s is NaN"):
            engine.submit(row(1), timeout_s=float("nan"))
        assert engine.statistics().submitted == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_batch": 0}, "max_batch is 0; it must be a whole number from 1"),
        ({"max_queue": 2.5}, "max_queue is 2.5"),
        ({"workers": True}, "workers is True"),
        ({"max_delay_ms": -1}, "max_delay_ms is -1"),
        ({"padding": 0.5}, "padding is 0.5"),
        ({"padding": float("nan")}, "padding is nan"),
    ],
)
def test_wrong_options(fake, options, message):
    with pytest.raises(InputError, match=message):
        Engine(fake, **options)


def test_a_callback_may_submit_and_must_not_wait(fake, row):
    done, found = threading.Event(), []

    def go_on(_):
        with pytest.raises(SessionError, match="wait for itself"):
            engine.run(row(2))
        with pytest.raises(SessionError, match="wait for itself"):
            engine.drain()
        found.append(engine.submit(row(3)))
        done.set()

    with Engine(fake) as engine:
        engine.submit(row(1)).add_done_callback(go_on)
        assert done.wait(30)
        assert found[0].result(30).outputs["y"].tolist() == [[6]]


def test_a_callback_may_close(fake, row):
    engine = Engine(fake)
    closed = threading.Event()
    engine.submit(row(1)).add_done_callback(lambda _: (engine.close(), closed.set()))
    assert closed.wait(30)
    engine.close()


def test_a_hook_that_fails_harms_nobody(fake, row, caplog):
    def fail(_):
        raise ValueError("hook")

    with Engine(fake, on_batch=fail) as engine:
        assert engine.run(row(1)).outputs["y"].tolist() == [[2]]
        assert engine.run(row(2)).outputs["y"].tolist() == [[4]]
    assert "on_batch failed" in caplog.text


def test_close_fails_what_waits_and_ends_the_threads(held, row):
    before = threading.active_count()
    engine = Engine(held)
    running = hold(engine, held, row)
    waiting = engine.submit(row(1))
    threading.Timer(0.05, held.gate.set).start()
    engine.close()
    engine.close()
    assert running.result(0).outputs["y"].tolist() == [[-2]]
    with pytest.raises(SessionError, match="closed while the request waited"):
        waiting.result(0)
    with pytest.raises(SessionError, match="the engine is closed"):
        engine.submit(row(2))
    assert threading.active_count() == before
    check_balance(engine.statistics())


def test_drain_answers_what_came_and_refuses_what_comes(held, row):
    with Engine(held) as engine:
        hold(engine, held, row)
        waiting = engine.submit(row(1))
        assert not engine.drain(0.01)
        with pytest.raises(SessionError, match="going down"):
            engine.submit(row(2))
        held.gate.set()
        assert engine.drain(30)
        assert waiting.result(0).outputs["y"].tolist() == [[2]]


def test_several_workers_run_at_once(held, row):
    with Engine(held, workers=2) as engine:
        futures = [hold(engine, held, row) for _ in range(2)]  # both have begun
        held.gate.set()
        assert all(one.result(30) for one in futures)


def test_a_delay_waits_for_company_and_a_full_batch_does_not(fake, row):
    with Engine(fake, max_delay_ms=600_000, max_batch=3) as engine:
        futures = [engine.submit(row(value)) for value in range(3)]
        assert [one.result(30).batch for one in futures] == [3, 3, 3]
        alone = engine.submit(row(7))
        assert engine.drain(30)  # nobody else can come: it does not wait for them
        assert alone.result(0).batch == 1
    assert fake.runs == [[0, 1, 2], [7]]


def test_a_program_that_forgets_to_close_ends(exported):
    code = (
        "import rnnx, numpy as np\n"
        f"engine = rnnx.Engine(rnnx.load({str(exported('gru'))!r}, provider='cpu'))\n"
        "print(engine.run({'input': np.zeros((1, 2, 3), np.float32)}).outputs['output'].shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "(1, 2, 6)\n"), done.stderr


def test_the_public_face():
    assert rnnx.Engine is room.Engine


def test_many_threads_that_cancel_and_run_out_of_time(fake, row):
    wrong = []

    def ask(number, engine):
        random = np.random.default_rng(number)
        for turn in range(150):
            value = number * 1000 + turn
            try:
                future = engine.submit(
                    row(value, time=int(random.integers(1, 3))),
                    timeout_s=float(random.choice([1e-5, 30])),
                    client=str(number % 3),
                )
                if random.random() < 0.3:
                    future.cancel()
                answer = future.result(30)
                if (answer.outputs["y"] != 2 * value).any() or answer.outputs["y"].shape[0] != 1:
                    wrong.append(value)
            except (QueueFullError, DeadlineError, concurrent.futures.CancelledError):
                pass

    with Engine(fake, max_queue=5, workers=2) as engine:
        threads = [threading.Thread(target=ask, args=(number, engine)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert engine.drain(30)
        found = engine.statistics()
    assert not wrong
    assert (found.queued, found.running) == (0, 0)
    assert found.submitted + found.refused == 8 * 150
    assert min(found.answered, found.cancelled, found.expired) > 0
    check_balance(found)
