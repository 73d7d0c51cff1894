"""What :mod:`rnnx.runtime.inputs` refuses, in which words, and what it completes."""

import re

import numpy as np
import pytest

import rnnx
from rnnx.errors import DtypeError, InputError, ShapeError
from rnnx.runtime.inputs import Feeder
from rnnx.signature import AxisRange, LengthsSpec, Signature, StateSpec, parse_tensor


def signature(*inputs, lengths=(), states=(), ranges=()):
    return Signature(
        inputs=tuple(parse_tensor(one) for one in inputs),
        lengths=tuple(LengthsSpec(name=name, axis=axis) for name, axis in lengths),
        states=tuple(StateSpec(name=name) for name in states),
        ranges=tuple(ranges),
    ).check()


SPEECH = Feeder(
    signature(
        "features: float32[batch, time, 3]",
        "lengths: int64[batch]",
        "speaker: int64[batch] < 5",
        "h_0: float32[2, batch, 4]",
        lengths=[("lengths", "time")],
        states=["h_0"],
        ranges=[AxisRange(name="time", minimum=2, maximum=8, multiple_of=2)],
    )
)
PAIR = Feeder(
    signature(
        "source: float32[time, batch, 2]",
        "target: int32[batch, steps] >= -1 < 7",
        "keep: bool[batch]",
        "a: int64[batch]",
        "b: int32[batch]",
        lengths=[("a", "time"), ("b", "steps")],
        ranges=[AxisRange(name="steps", minimum=0), AxisRange(name="batch", minimum=0)],
    )
)


def speech(batch=2, time=4, **changes):
    inputs = {"features": np.ones((batch, time, 3), np.float32), "speaker": np.zeros(batch, np.int64)}
    return {name: value for name, value in (inputs | changes).items() if value is not None}


def pair(batch=2, time=3, steps=4, **changes):
    return {
        "source": np.ones((time, batch, 2), np.float32),
        "target": np.ones((batch, steps), np.int32),
        "keep": np.ones(batch, bool),
    } | changes


def refused(feeder, error, message, inputs, lengths=None):
    with pytest.raises(error, match=re.escape(message)) as caught:
        feeder.feed(inputs, lengths)
    assert type(caught.value) is error


def test_what_is_left_out_is_filled_in():
    inputs = speech(batch=3, time=6)
    feed = SPEECH.feed(inputs)
    assert feed["features"] is inputs["features"]
    np.testing.assert_array_equal(feed["lengths"], [6, 6, 6])
    assert feed["lengths"].dtype == np.int64
    np.testing.assert_array_equal(feed["h_0"], np.zeros((2, 3, 4), np.float32))
    assert feed["h_0"].dtype == np.float32


def test_a_given_state_is_kept():
    h_0 = np.full((2, 2, 4), 0.5, np.float32)
    assert SPEECH.feed(speech(h_0=h_0))["h_0"] is h_0
    np.testing.assert_array_equal(SPEECH.feed(speech() | {"h_0": None})["h_0"], np.zeros((2, 2, 4)))


@pytest.mark.parametrize(
    "lengths",
    [
        [3, 4],
        (3, 4),
        np.array([3, 4]),
        np.array([3, 4], np.uint8),
        np.array([3, 4], ">i2"),
        {"lengths": [3, 4]},
    ],
    ids=repr,
)
@pytest.mark.parametrize("among_inputs", [False, True])
def test_lengths_are_taken_in_every_form(lengths, among_inputs):
    if among_inputs:
        named = lengths["lengths"] if isinstance(lengths, dict) else lengths
        feed = SPEECH.feed(speech(lengths=named))
    else:
        feed = SPEECH.feed(speech(), lengths)
    np.testing.assert_array_equal(feed["lengths"], [3, 4])
    assert feed["lengths"].dtype == np.int64
    assert feed["lengths"].dtype.isnative


def test_several_lengths_are_given_by_name():
    feed = PAIR.feed(pair(), {"b": [1, 4]})
    np.testing.assert_array_equal(feed["a"], [3, 3])
    np.testing.assert_array_equal(feed["b"], [1, 4])
    assert feed["b"].dtype == np.int32
    feed = PAIR.feed(pair(a=[1, 2]), {"b": [1, 4]})
    np.testing.assert_array_equal(feed["a"], [1, 2])


def test_names():
    refused(SPEECH, InputError, "input 'features' is missing; given are 'speaker'.", speech(features=None))
    refused(
        SPEECH,
        InputError,
        "input 'features' is missing; given are 'speaker', 'feature'. Is 'feature' meant to be it? "
        "It must be features: float32[batch, time, 3].",
        speech(features=None) | {"feature": np.zeros(1)},
    )
    refused(
        SPEECH,
        InputError,
        "input 'h0' is not known. Did you mean 'h_0'? The model takes 'features', 'lengths', 'speaker', 'h_0'.",
        speech(h0=np.zeros((2, 2, 4), np.float32)),
    )
    refused(SPEECH, InputError, "input 'zzz' is not known. The model takes", speech(zzz=np.zeros(1)))
    refused(SPEECH, InputError, "inputs must be a mapping of names to arrays, found ndarray", np.zeros((1, 2, 3)))
    refused(SPEECH, InputError, "Write {'features': array}.", None)


def test_dtypes():
    message = (
        "input 'features' has dtype float64; it must be float32. Nothing is cast silently: "
        "write features.astype(np.float32)."
    )
    refused(SPEECH, DtypeError, message, speech(features=np.ones((2, 4, 3))))
    refused(SPEECH, DtypeError, "has dtype >f4; it must be", speech(features=np.ones((2, 4, 3), ">f4")))
    refused(SPEECH, DtypeError, "'speaker' has dtype int32; it must be int64", speech(speaker=np.zeros(2, np.int32)))
    refused(PAIR, DtypeError, "write keep.astype(np.bool_)", pair(keep=np.ones(2, np.uint8)))


def test_python_numbers_are_converted():
    feed = SPEECH.feed({"features": [[[1, 2.5, 3], [4, 5, 6]]], "speaker": [4]})
    np.testing.assert_array_equal(feed["features"], np.array([[[1, 2.5, 3], [4, 5, 6]]], np.float32))
    assert feed["features"].dtype == np.float32
    np.testing.assert_array_equal(feed["speaker"], [4])
    scalar = Feeder(signature("x: float32[batch]", "scale: float32[]"))
    assert scalar.feed({"x": [1.0], "scale": 3})["scale"] == np.float32(3)
    refused(SPEECH, DtypeError, "'speaker' holds values of dtype float64", speech(speaker=[0.5, 1.0]))
    refused(SPEECH, DtypeError, "'speaker' holds values of dtype bool", speech(speaker=[True, False]))
    refused(SPEECH, DtypeError, "holds values of dtype <U1", speech(speaker=["a", "b"]))
    refused(PAIR, InputError, "holds values from 5 to 4294967296, beyond int32", pair(batch=1, target=[[5, 2**32]]))
    refused(SPEECH, InputError, "input 'speaker' is a builtins.set; it must be a NumPy array", speech(speaker={1}))


def test_ranks_and_sizes():
    refused(
        SPEECH,
        ShapeError,
        "input 'features' has 2 axes, shape (4, 3); it must have 3: features: float32[batch, time, 3].",
        speech(features=np.ones((4, 3), np.float32)),
    )
    refused(
        SPEECH,
        ShapeError,
        "axis 2 of input 'features' is 5, shape (2, 4, 5); it must be 3",
        speech(features=np.ones((2, 4, 5), np.float32)),
    )
    refused(
        SPEECH,
        ShapeError,
        "axis 'batch' is 3 in input 'speaker' and 2 in input 'features'. An axis of one name must have one size.",
        speech(speaker=np.zeros(3, np.int64)),
    )
    refused(SPEECH, ShapeError, "axis 0 of input 'h_0' is 1", speech(h_0=np.zeros((1, 2, 4), np.float32)))


@pytest.mark.parametrize("time", [0, 1, 3, 10])
def test_axes_outside_their_range(time):
    message = f"axis 'time' of input 'features' is {time}, shape (2, {time}, 3); allowed is 2 <= time <= 8, a multiple"
    refused(SPEECH, ShapeError, message, speech(time=time))


def test_an_empty_batch_is_refused_unless_the_signature_allows_it():
    refused(SPEECH, ShapeError, "axis 'batch' of input 'features' is 0", speech(batch=0))
    feed = PAIR.feed(pair(batch=0, steps=0))
    assert feed["a"].shape == feed["b"].shape == (0,)
    assert feed["target"].shape == (0, 0)


def test_an_empty_axis_takes_lengths_of_zero():
    feed = PAIR.feed(pair(steps=0), {"b": [0, 0]})
    np.testing.assert_array_equal(feed["b"], [0, 0])
    feed = PAIR.feed(pair(), {"b": [0, 4]})
    np.testing.assert_array_equal(feed["b"], [0, 4])


@pytest.mark.parametrize(
    ("lengths", "error", "message"),
    [
        ([0, 4], InputError, "length 0 of row 0 in 'lengths' is out of range; allowed is 1 <= length <= 4"),
        ([4, -1], InputError, "length -1 of row 1 in 'lengths' is out of range"),
        ([4, 5], InputError, "length 5 of row 1 in 'lengths' is out of range; allowed is 1 <= length <= 4, the size"),
        (np.array([4, 2**64 - 1], np.uint64), InputError, "length 18446744073709551615 of row 1"),
        ([4.0, 2.0], DtypeError, "lengths 'lengths' have dtype float64; they must be whole numbers"),
        (np.array([4, np.nan]), DtypeError, "have dtype float64 and hold NaN"),
        ([True, True], DtypeError, "have dtype bool"),
        ([None, 4], DtypeError, "have dtype object"),
        ([[1], [2, 3]], DtypeError, "lengths 'lengths' are not a list of whole numbers"),
        ([4], ShapeError, "lengths 'lengths' have shape (1,); they must have shape (2,), one for each row"),
        ([[4, 4]], ShapeError, "have shape (1, 2); they must have shape (2,)"),
        (4, ShapeError, "have shape (); they must have shape (2,)"),
        ([], ShapeError, "have shape (0,); they must have shape (2,)"),
        ({"length": [4, 4]}, InputError, "lengths 'length' are not known; allowed are 'lengths'."),
    ],
    ids=repr,
)
def test_wrong_lengths(lengths, error, message):
    refused(SPEECH, error, message, speech(), lengths)


def test_tight_lengths_must_fill_the_axis():
    lengths = (LengthsSpec(name="n", axis="time", tight=True),)
    inputs = tuple(parse_tensor(one) for one in ("x: float32[batch, time]", "n: int64[batch]"))
    feeder = Feeder(Signature(inputs=inputs, lengths=lengths))
    x = {"x": np.ones((2, 5), np.float32)}
    np.testing.assert_array_equal(feeder.feed(x, [2, 5])["n"], [2, 5])
    np.testing.assert_array_equal(feeder.feed(x)["n"], [5, 5])
    np.testing.assert_array_equal(feeder.feed({"x": [x["x"][0, :1], x["x"][0, :3]]})["n"], [1, 3])
    message = "the longest row of 'n' has 3 of 5 steps; this model's answer depends on where the longest row ends. Cut"
    refused(feeder, InputError, message, x, [3, 2])


def test_lengths_that_cannot_be_placed():
    refused(SPEECH, InputError, "given twice, among the inputs and as lengths", speech(lengths=[4, 4]), [4, 4])
    message = "the model has several lengths, 'a', 'b'. Give them by name: lengths={'a': ...}."
    refused(PAIR, InputError, message, pair(), [1, 2])
    plain = Feeder(signature("x: float32[batch, time]"))
    x = {"x": np.ones((1, 2), np.float32)}
    refused(plain, InputError, "lengths are given, and the model has none. Leave them out.", x, [2])
    refused(plain, InputError, "allowed are none: the model has no lengths", x, {"lengths": [2]})


@pytest.mark.parametrize("size", [3, 300], ids=["few", "many"])
def test_integers_outside_their_range(size):
    speaker = np.zeros(size, np.int64)
    speaker[-1] = 5
    inputs = speech(batch=size, speaker=speaker)
    refused(SPEECH, InputError, f"input 'speaker' holds 5 at ({size - 1},); allowed is 0 <= speaker < 5.", inputs)
    speaker[-1] = -1
    refused(SPEECH, InputError, f"input 'speaker' holds -1 at ({size - 1},)", inputs)
    target = np.full((2, size), -1, np.int32)
    np.testing.assert_array_equal(PAIR.feed(pair(target=target))["target"], target)
    target[1, 0] = -2
    refused(PAIR, InputError, "input 'target' holds -2 at (1, 0); allowed is -1 <= target < 7.", pair(target=target))


def test_a_state_of_unknown_size():
    feeder = Feeder(signature("x: float32[batch]", "memory: float32[batch, slots]", states=["memory"]))
    message = "state 'memory' is left out, and no other input tells the size of its axis 'slots'"
    refused(feeder, InputError, message, {"x": np.ones(1, np.float32)})


def test_errors_are_their_builtins():
    for error, builtin in ((DtypeError, TypeError), (ShapeError, ValueError), (InputError, ValueError)):
        assert issubclass(error, builtin)
        assert issubclass(error, rnnx.RnnxError)
