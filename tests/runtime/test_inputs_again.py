"""Inputs like those that passed before pass quickly, and whatever differs from them is checked as ever."""

import collections
import re
import threading
import types

import numpy as np
import pytest

from rnnx.errors import DtypeError, InputError, ShapeError
from rnnx.runtime.inputs import Feeder
from rnnx.signature import AxisRange, LengthsSpec, Signature, StateSpec, parse_tensor

SIGNATURE = Signature(
    inputs=tuple(
        parse_tensor(one)
        for one in (
            "features: float32[batch, time, 3]",
            "lengths: int64[batch]",
            "speaker: int64[batch] < 5",
            "h_0: float32[2, batch, 4]",
        )
    ),
    lengths=(LengthsSpec(name="lengths", axis="time"),),
    states=(StateSpec(name="h_0"),),
    ranges=(AxisRange(name="time", minimum=2, maximum=8, multiple_of=2),),
).check()


def given(batch=2, time=4, **changes):
    inputs = {"features": np.ones((batch, time, 3), np.float32), "speaker": np.zeros(batch, np.int64)} | changes
    return {name: value for name, value in inputs.items() if value is not None}


@pytest.fixture
def feeder(monkeypatch):
    """It has passed ``given()``; ``feeder.long`` counts how often every check is made from then on."""
    feeder = Feeder(SIGNATURE)
    feeder.feed(given())
    counted = types.SimpleNamespace(times=0)
    long = feeder._checked

    def checked(*arguments):
        counted.times += 1
        return long(*arguments)

    monkeypatch.setattr(feeder, "_checked", checked)
    feeder.long = counted
    return feeder


def test_what_passed_passes_again_and_is_completed_alike(feeder):
    inputs = given()
    inputs["features"] *= 3
    feed = feeder.feed(inputs)
    assert feeder.long.times == 0
    fresh = Feeder(SIGNATURE).feed(inputs)
    assert feed.keys() == fresh.keys()
    for name, array in fresh.items():
        np.testing.assert_array_equal(feed[name], array)
        assert feed[name].dtype == array.dtype
    assert feed["features"] is inputs["features"]
    # A feed of its own: the caller's dict is not written to, and states are not shared between runs.
    assert inputs.keys() == {"features", "speaker"}
    assert feeder.feed(inputs)["h_0"] is not feed["h_0"]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"features": np.ones((2, 4, 3))}, DtypeError, "input 'features' has dtype float64; it must be float32"),
        ({"features": np.ones((2, 4, 3), ">f4")}, DtypeError, "input 'features' has dtype >f4; it must be float32"),
        ({"features": np.ones((2, 4, 2), np.float32)}, ShapeError, "axis 2 of input 'features' is 2"),
        ({"features": np.ones((2, 5, 3), np.float32)}, ShapeError, "axis 'time' of input 'features' is 5"),
        ({"features": np.ones((3, 4, 3), np.float32)}, ShapeError, "axis 'batch' is 2 in input 'speaker' and 3"),
        ({"features": np.ones((4, 3), np.float32)}, ShapeError, "input 'features' has 2 axes"),
        ({"features": None}, InputError, "input 'features' is missing"),
        ({"speaker": None}, InputError, "input 'speaker' is missing"),
        ({"speaker": None, "speakr": np.zeros(2, np.int64)}, InputError, "Is 'speakr' meant to be it?"),
        ({"extra": np.zeros(2)}, InputError, "input 'extra' is not known"),
        ({"h_0": np.zeros((2, 3, 4), np.float32)}, ShapeError, "axis 'batch' is 3 in input 'h_0' and 2"),
        ({"speaker": np.array([0, 5])}, InputError, "input 'speaker' holds 5 at (1,); allowed is 0 <= speaker < 5"),
        ({"speaker": np.array([-1, 0])}, InputError, "input 'speaker' holds -1 at (0,)"),
    ],
)
def test_what_differs_is_refused_as_ever(feeder, changes, error, message):
    with pytest.raises(error, match=re.escape(message)):
        feeder.feed(given(**changes))
    # What was refused is not remembered, and what passed is not forgotten.
    feeder.long.times = 0
    feeder.feed(given())
    assert feeder.long.times == 0


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([4, 5], "length 5 of row 1 in 'lengths' is out of range"),
        ([0, 4], "length 0 of row 0 in 'lengths' is out of range"),
        ([4], "lengths 'lengths' have shape (1,); they must have shape (2,)"),
        ({"lenghts": [4, 4]}, "lengths 'lenghts' are not known"),
    ],
)
def test_lengths_are_values_and_always_checked(feeder, lengths, message):
    np.testing.assert_array_equal(feeder.feed(given(), [4, 1])["lengths"], [4, 1])
    with pytest.raises(InputError, match=re.escape(message)):
        feeder.feed(given(), lengths)
    assert feeder.long.times == 0


def test_lengths_among_the_inputs_are_remembered_as_such(feeder):
    for expected in ([4, 2], [1, 3]):
        feed = feeder.feed(given(lengths=np.array(expected)))
        np.testing.assert_array_equal(feed["lengths"], expected)
    assert feeder.long.times == 1
    with pytest.raises(InputError, match="length 9 of row 0"):
        feeder.feed(given(lengths=np.array([9, 1])))
    with pytest.raises(InputError, match="given twice"):
        feeder.feed(given(lengths=np.array([4, 1])), [4, 1])
    # As many inputs, and the lengths are not among them.
    with pytest.raises(InputError, match="input 'other' is not known"):
        feeder.feed(given(other=np.array([4, 1])))
    np.testing.assert_array_equal(feeder.feed(given())["lengths"], [4, 4])


class Marked(np.ndarray):
    """A subclass of NumPy's arrays."""


@pytest.mark.parametrize(
    "inputs",
    [
        given(batch=3),
        given(time=6),
        given(h_0=np.full((2, 2, 4), 0.5, np.float32)),
        given(features=np.ones((2, 4, 3), np.float32).view(Marked)),
        given(features=np.ones((2, 4, 3)).tolist()),
        given(features=[np.ones((4, 3), np.float32), np.ones((2, 3), np.float32)]),
        given(speaker=[0, 1]),
        collections.OrderedDict(given()),
        types.MappingProxyType(given()),
    ],
    ids=["batch", "time", "state", "subclass", "nested list", "list", "numbers", "subclass of dict", "mapping"],
)
def test_other_forms_take_the_long_way(feeder, inputs):
    feed, fresh = feeder.feed(inputs), Feeder(SIGNATURE).feed(inputs)
    assert feeder.long.times > 0
    assert feed.keys() == fresh.keys() == {"features", "speaker", "lengths", "h_0"}
    for name, array in fresh.items():
        np.testing.assert_array_equal(feed[name], array)


def test_the_memory_order_makes_no_difference(feeder):
    features = np.asfortranarray(np.random.default_rng(0).standard_normal((2, 4, 3)).astype(np.float32))
    assert feeder.feed(given(features=features))["features"] is features
    strided = np.ones((2, 8, 3), np.float32)[:, ::2]
    assert feeder.feed(given(features=strided))["features"] is strided
    assert feeder.long.times == 0


def test_fortran_order_and_strides_give_the_same_answers(make_lstm):
    import rnnx

    x = np.random.default_rng(0).standard_normal((2, 4, 3)).astype(np.float32)
    wide = np.repeat(x, 2, axis=1)
    with rnnx.load(make_lstm(lengths=False), provider="cpu", threads=1) as session:
        expected = session.run({"features": x})["y"]
        for same in (np.asfortranarray(x), wide[:, ::2], x):
            np.testing.assert_array_equal(session.run({"features": same})["y"], expected)


def test_threads_that_alternate_never_see_each_others_sizes():
    """What is remembered is replaced as a whole."""
    feeder, wrong = Feeder(SIGNATURE), []

    def feed(batch, time):
        inputs = given(batch, time)
        for _ in range(2000):
            made = feeder.feed(inputs)
            if made["h_0"].shape != (2, batch, 4) or made["lengths"].tolist() != [time] * batch:
                wrong.append((batch, time))

    threads = [threading.Thread(target=feed, args=sizes) for sizes in ((1, 2), (2, 4), (3, 8))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
