"""Many items: in order, in bounded memory, by size, and what is told of them."""

from __future__ import annotations

import functools
import io
import sys
import threading
import weakref

import numpy as np
import pytest

import rnnx
from rnnx.errors import InputError, SessionError, ShapeError
from rnnx.runtime import engine as room
from rnnx.runtime.engine.progress import Progress

Engine = functools.partial(room.Engine, probe=False)


def test_ten_thousand_items_in_order_and_in_bounded_memory(fake):
    alive, most = [0], 0

    class Item(np.ndarray):
        """An array that can be watched."""

        __hash__ = object.__hash__

    def items():
        nonlocal most
        for number in range(10_000):
            item = np.full((1, 1), number, np.float32).view(Item)
            alive[0] += 1
            weakref.finalize(item, lambda: alive.__setitem__(0, alive[0] - 1))
            most = max(most, alive[0])
            yield {"x": item}

    with Engine(fake, max_queue=64) as engine:
        for number, outputs in enumerate(engine.map(items(), window=100)):
            assert outputs["y"][0, 0] == 2 * number
        assert number == 9999
        found = engine.statistics()
    assert most <= 2 * 100 + 64
    assert (found.answered, found.refused) == (10_000, 0)


def test_items_are_run_by_size(make_fake):
    fake = make_fake(lengths=True)
    sizes = [9, 1, 8, 2, 9, 1]
    with Engine(fake, max_delay_ms=20, padding=1.3) as engine:
        items = [{"x": np.full((1, size), size, np.float32)} for size in sizes]
        answers = list(engine.map(items))
        found = engine.statistics()
    assert [one["y"].tolist() for one in answers] == [[[2.0 * size] * size] for size in sizes]
    assert sorted(fake.runs) == [[1, 1], [2], [8, 9, 9]]
    assert (found.used, found.padded) == (30, 31)


def test_lengths_of_an_item(lstm):
    x = np.random.default_rng(0).standard_normal((2, 5, 3)).astype(np.float32)
    with rnnx.load(lstm, provider="cpu") as session, Engine(session) as engine:
        (found,) = engine.map([({"features": x}, [5, 2])])
        np.testing.assert_allclose(found["y"], session.run({"features": x}, [5, 2])["y"], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("bad", "error"),
    [({"x": np.zeros(3, np.float32)}, ShapeError), ({"x": np.full((1, 1), -666, np.float32)}, SessionError)],
)
def test_a_bad_item_raises_at_its_place(fake, row, bad, error):
    with Engine(fake) as engine:
        answers = engine.map([row(0), row(1), bad, row(3)])
        assert [next(answers)["y"].tolist() for _ in range(2)] == [[[0]], [[2]]]
        with pytest.raises(error) as found:
            next(answers)
        assert found.value.__notes__ == ["item 2 of map(), counted from 0"]
        assert engine.drain(30)


def test_leaving_early_cancels_the_rest(fake, row):
    with Engine(fake, max_batch=1) as engine:
        answers = engine.map((row(n) for n in range(500)), window=50)
        next(answers)
        answers.close()
        assert engine.drain(30)
        found = engine.statistics()
    assert found.submitted <= 100
    assert found.submitted == found.answered + found.cancelled


def test_half_of_the_queue_is_left_to_others(fake, row):
    fake.gate.clear()
    with Engine(fake, max_queue=8, max_batch=1) as engine:
        bulk = threading.Thread(target=lambda: list(engine.map(row(n) for n in range(40))))
        bulk.start()
        assert fake.begun.acquire(timeout=30)
        others = [engine.submit(row(n), client="other") for n in range(4)]  # none is refused
        fake.gate.set()
        assert all(one.result(30) for one in others)
        bulk.join()
    assert [len(one) for one in fake.runs] == [1] * 44


def test_map_waits_for_its_places(fake, row):
    with Engine(fake, max_queue=1) as engine:
        assert len(list(engine.map(row(n) for n in range(20)))) == 20


@pytest.mark.parametrize("window", [0, 1.5])
def test_wrong_window(fake, window):
    with Engine(fake) as engine, pytest.raises(InputError, match=f"window is {window}"):
        engine.map([], window=window)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def test_progress_in_plain_lines(fake, row, monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    with Engine(fake) as engine:
        list(engine.map([row(n) for n in range(5)], progress=True))
        assert stream.getvalue().startswith("5 of 5 items, ")
        assert stream.getvalue().endswith("/s\n")
        list(engine.map([row(n) for n in range(5)]))
        assert stream.getvalue().count("\n") == 1
        list(engine.map((row(n) for n in range(3)), progress=True))
        assert "\n3 items, " in stream.getvalue()


def test_progress_on_a_terminal():
    told = Progress(2, stream := Terminal())
    told.add()
    told.add()
    told.close()
    assert stream.getvalue().startswith("\r")
    assert f"[{'#' * 30}] 2 of 2 items" in stream.getvalue()
    assert stream.getvalue().endswith("\n")
