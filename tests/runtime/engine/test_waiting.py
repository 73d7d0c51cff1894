"""Turns between clients, who fits into a batch, and nobody who waits for ever."""

from __future__ import annotations

import numpy as np
import pytest

from rnnx.runtime.engine.request import Place, Request
from rnnx.runtime.engine.waiting import Batch, RequestQueue


def request(client="", *, key="k", rows=1, sizes=(), elements=0):
    return Request(feed={}, names=[], place=Place(rows=rows, key=key, sizes=sizes, elements=elements), client=client)


def queue(**options):
    given = {"most": 100, "most_rows": 4, "padding": 2.0, "expired": lambda _: None} | options
    return RequestQueue(**given)


def taken(one):
    return [request.client for request in one.take()]


def test_clients_take_turns_within_a_batch():
    one = queue()
    for client in "aaaaaaaabc":
        one.put(request(client))
    assert taken(one) == ["a", "b", "c", "a"]
    assert taken(one) == ["a"] * 4


def test_clients_take_turns_between_batches():
    one = queue(most_rows=1)
    for client in "aaabbc":
        one.put(request(client))
    assert [taken(one)[0] for _ in range(6)] == ["a", "b", "c", "a", "b", "a"]


def test_those_who_cannot_run_together_take_turns_too():
    one = queue()
    for client, key in [("a", 1)] * 5 + [("b", 2)] * 2 + [("c", 2)] * 2:
        one.put(request(client, key=key))
    assert [taken(one) for _ in range(3)] == [["a"] * 4, ["b", "c", "b", "c"], ["a"]]


def test_the_oldest_of_a_client_is_never_overtaken_as_first():
    one = queue()
    for key in "xyxyz":
        one.put(request(key=key))
    assert [[each.place.key for each in one.take()] for _ in range(3)] == [["x", "x"], ["y", "y"], ["z"]]


@pytest.mark.parametrize(
    ("first", "second", "fits"),
    [
        ({}, {}, True),
        ({"key": None}, {"key": None}, False),
        ({"rows": 3}, {"rows": 1}, True),
        ({"rows": 3}, {"rows": 2}, False),
        ({"rows": 9}, {"rows": 1}, False),
        ({"sizes": (5,)}, {"sizes": (10,)}, True),
        ({"sizes": (10,)}, {"sizes": (5,)}, True),
        ({"sizes": (5,)}, {"sizes": (11,)}, False),
        ({"sizes": (5, 3)}, {"sizes": (5, 7)}, False),
    ],
)
def test_who_fits(first, second, fits):
    batch = Batch(request(**first), most_rows=4, padding=2.0)
    assert batch.admit(request(**second)) is fits


def test_many_long_requests_do_not_meet_in_one_batch():
    wide = Batch(request(sizes=(10,), elements=100), most_rows=9, padding=2.0, most_elements=250)
    assert wide.admit(request(sizes=(6,), elements=60))
    assert not wide.admit(request(sizes=(6,), elements=60))  # padded to the widest it would be the third of 100
    assert not Batch(request(elements=60), most_rows=9, padding=2.0, most_elements=250).admit(request(elements=130))


def test_padding_is_bounded_over_the_whole_batch():
    batch = Batch(request(sizes=(10,)), most_rows=9, padding=2.0)
    assert batch.admit(request(sizes=(6,)))
    assert not batch.admit(request(sizes=(13,)))  # 13 is fine for 10, and more than twice 6
    assert batch.admit(request(sizes=(12,)))


def test_nothing_is_lost_whatever_happens():
    random = np.random.default_rng(0)
    one = queue(most_rows=3)
    waiting, seen = [], []
    for _ in range(2000):
        what = random.integers(3)
        if what == 0 and len(one) < 100:
            waiting.append(
                request(str(random.integers(4)), key=int(random.integers(2)), rows=int(random.integers(1, 4)))
            )
            one.put(waiting[-1])
        elif what == 1 and waiting:
            gone = waiting.pop(random.integers(len(waiting)))
            assert one.discard(gone)
            assert not one.discard(gone)
        elif what == 2 and waiting:
            batch = one.take()
            assert len({each.place.key for each in batch}) == 1
            assert sum(each.place.rows for each in batch) <= 3
            for each in batch:
                waiting.remove(each)
            seen += batch
            one.done(len(batch))
        assert len(one) == len(waiting)
    assert len({id(each) for each in seen}) == len(seen)
    assert one.running == 0


def test_deadlines_are_found_whoever_stands_first():
    now, late = [0], []
    one = queue(clock=lambda: now[0], expired=late.extend)
    requests = [request("a"), request("b"), request("a")]
    for each, deadline in zip(requests, (None, 10, 5), strict=True):
        each.deadline_ns = deadline
        one.put(each)
    now[0] = 7
    assert one.take() == requests[:2]
    assert late == requests[2:]
