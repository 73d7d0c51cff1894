"""Streams by key: leases, idle expiry, the maximum, and states that change only with an answer."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from rnnx.errors import InputError, StreamBusyError, StreamExistsError, StreamNotFoundError, TooManyStreamsError
from rnnx.runtime.engine import StreamTable
from rnnx.runtime.state import State


class Clock:
    """Seconds that a test moves."""

    now = 0.0

    def __call__(self):
        return self.now


def state(value):
    return State(owner="bundle variant", values={"h": np.full((1, 2), value, np.float32)})


def begun(table, key, value=0):
    with table.begin(key, state(0)) as lease:
        lease.commit(state(value))


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def table(clock):
    return StreamTable(max_streams=3, idle_s=10, clock=clock)


def value_of(table, key):
    with table.lease(key) as lease:
        return lease.state.values["h"][0, 0]


def test_a_stream_goes_on_from_what_was_committed(table):
    begun(table, "a", 1)
    with table.lease("a") as lease:
        assert lease.state.values["h"][0, 0] == 1
        lease.commit(state(2))
        assert lease.state.values["h"][0, 0] == 2
    assert value_of(table, "a") == 2
    assert len(table) == 1
    assert "a" in table
    assert table.nbytes() == 8


def test_a_chunk_that_fails_leaves_the_state(table):
    begun(table, "a", 1)
    with pytest.raises(ValueError, match="chunk"), table.lease("a"):
        raise ValueError("chunk")
    assert value_of(table, "a") == 1


def test_a_stream_whose_first_chunk_fails_never_was(table):
    with table.begin("a", state(0)):
        pass
    assert len(table) == 0
    with pytest.raises(StreamNotFoundError, match="its first chunk failed"):
        table.lease("a")
    begun(table, "a", 3)
    assert value_of(table, "a") == 3


def test_start_is_required_and_once_is_enough(table):
    with pytest.raises(StreamNotFoundError, match=r"stream 7 is not open: it was never begun.*Begin it with START"):
        table.lease(7)
    begun(table, 7)
    with pytest.raises(StreamExistsError, match="stream 7 was begun already"):
        table.begin(7, state(0))


def test_replacing_takes_effect_with_its_first_answer(table):
    begun(table, "a", 1)
    with table.begin("a", state(0), replace=True):
        pass
    assert value_of(table, "a") == 1
    with table.begin("a", state(0), replace=True) as lease:
        lease.commit(state(5))
    assert value_of(table, "a") == 5
    assert len(table) == 1


def test_concurrent_use_of_one_stream_is_refused(table):
    begun(table, "a")
    with table.lease("a"):
        for use in (
            lambda: table.lease("a"),
            lambda: table.begin("a", state(0)),
            lambda: table.begin("a", state(0), replace=True),
            lambda: table.end("a"),
        ):
            with pytest.raises(StreamBusyError, match="stream 'a' is in use"):
                use()
    with table.begin("b", state(0)), pytest.raises(StreamBusyError):
        table.lease("b")
    assert value_of(table, "a") == 0


def test_one_of_many_threads_gets_the_lease(table):
    begun(table, "a")
    start, got = threading.Barrier(8), []

    def take():
        start.wait()
        try:
            got.append(table.lease("a"))
        except StreamBusyError:
            got.append(None)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(one is not None for one in got) == 1


def test_the_idle_expire_and_those_in_use_do_not(table, clock):
    begun(table, "idle")
    begun(table, "used")
    begun(table, "busy")
    with table.lease("busy") as lease:
        clock.now = 6
        value_of(table, "used")
        clock.now = 11
        assert table.expire() == ["idle"]
        assert table.expire() == []
        with pytest.raises(StreamNotFoundError, match="it was idle for 10 s"):
            table.lease("idle")
        lease.commit(state(4))
    assert value_of(table, "busy") == 4
    clock.now = 20.9
    assert table.expire() == ["used"]
    clock.now = 30
    with pytest.raises(StreamNotFoundError, match="idle"):  # found without anybody asking to expire
        table.lease("busy")
    assert len(table) == 0


def test_a_stream_in_use_never_expires(table, clock):
    begun(table, "a")
    with table.lease("a") as lease:
        clock.now = 1000
        assert table.expire() == []
        lease.commit(state(2))
    assert value_of(table, "a") == 2
    with table.begin("b", state(0)) as lease:
        clock.now = 1005
        begun(table, "c")
        clock.now = 2000
        lease.commit(state(3))
    assert value_of(table, "b") == 3
    assert "c" not in table


def test_the_order_of_use_decides_who_expires(table, clock):
    for key in "abc":
        begun(table, key)
    clock.now = 6
    value_of(table, "a")
    clock.now = 11
    assert table.expire() == ["b", "c"]


def test_the_maximum(table, clock):
    for key in range(3):
        begun(table, key)
    with pytest.raises(TooManyStreamsError, match=r"3 streams are open, and 3 may.*idle for 10 s are dropped"):
        table.begin(3, state(0))
    with table.begin(0, state(0), replace=True) as lease:  # takes no further place
        lease.commit(state(1))
    table.end(1)
    begun(table, 3)
    clock.now = 11
    begun(table, 4)  # the idle ones make room
    assert len(table) == 1


def test_ending(table):
    begun(table, "a")
    with table.lease("a") as lease:
        lease.commit(state(1))
        lease.end()
        with pytest.raises(StreamNotFoundError, match="it has ended"):
            lease.commit(state(2))
    with pytest.raises(StreamNotFoundError, match="it has ended"):
        table.end("a")
    with table.begin("a", state(0)) as lease:  # a stream of one chunk
        lease.end()
    assert len(table) == 0


def test_ending_all_tells_why(table):
    begun(table, "a")
    begun(table, "b")
    with table.lease("b") as lease:
        assert table.end_all("the server goes down") == ["a", "b"]
        with pytest.raises(StreamNotFoundError, match="the server goes down"):
            lease.commit(state(1))
    assert len(table) == 0
    with pytest.raises(StreamNotFoundError, match="the server goes down"):
        table.lease("a")


def test_a_lease_that_was_given_back(table):
    begun(table, "a")
    lease = table.lease("a")
    lease.release()
    again = table.lease("a")
    lease.release()  # not the other's
    for use in (lambda: lease.commit(state(1)), lease.end):
        with pytest.raises(StreamNotFoundError, match="was given back"):
            use()
    again.commit(state(2))
    again.release()
    assert value_of(table, "a") == 2


def test_what_is_remembered_of_gone_streams_is_bounded(table):
    for key in range(3000):
        begun(table, key)
        table.end(key)
    with pytest.raises(StreamNotFoundError, match="long gone"):
        table.lease(0)
    with pytest.raises(StreamNotFoundError, match="has ended"):
        table.lease(2999)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"max_streams": 0}, "max_streams is 0"), ({"idle_s": 0}, "idle_s is 0"), ({"idle_s": float("nan")}, "nan")],
)
def test_wrong_options(options, message):
    with pytest.raises(InputError, match=message):
        StreamTable(**options)
