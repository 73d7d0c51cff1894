"""Lists of arrays: how they are padded, what they tell, and when they are refused."""

import re

import numpy as np
import pytest

from rnnx.errors import DtypeError, InputError, ShapeError
from rnnx.runtime.inputs import Feeder
from rnnx.signature import LengthsSpec, Signature, parse_tensor


def feeder(*inputs, lengths=()):
    return Feeder(
        Signature(
            inputs=tuple(parse_tensor(one) for one in inputs),
            lengths=tuple(LengthsSpec(name=name, axis=axis) for name, axis in lengths),
        ).check()
    )


PLAIN = feeder("x: float32[batch, time, 2]")
SPEECH = feeder("x: float32[batch, time, 2]", "lengths: int64[batch]", lengths=[("lengths", "time")])
PAIR = feeder(
    "source: float32[time, batch, 2]",
    "target: int32[batch, steps] >= 1 < 9",
    "side: float32[batch, time]",
    "a: int64[batch]",
    "b: int32[batch]",
    lengths=[("a", "time"), ("b", "steps")],
)


def rows(*sizes, start=1):
    return [np.arange(start, start + 2 * size, dtype=np.float32).reshape(size, 2) for size in sizes]


def refused(of, error, message, inputs, lengths=None):
    with pytest.raises(error, match=re.escape(message)) as caught:
        of.feed(inputs, lengths)
    assert type(caught.value) is error


@pytest.mark.parametrize("container", [list, tuple])
def test_rows_are_padded_with_zeros_and_tell_their_lengths(container):
    feed = SPEECH.feed({"x": container(rows(3, 1))})
    np.testing.assert_array_equal(feed["x"], [[[1, 2], [3, 4], [5, 6]], [[1, 2], [0, 0], [0, 0]]])
    assert feed["x"].dtype == np.float32
    np.testing.assert_array_equal(feed["lengths"], [3, 1])


def test_lengths_that_agree_may_be_given():
    np.testing.assert_array_equal(SPEECH.feed({"x": rows(3, 1)}, [3, 1])["lengths"], [3, 1])
    np.testing.assert_array_equal(SPEECH.feed({"x": rows(3, 1), "lengths": [3, 1]})["lengths"], [3, 1])
    message = "lengths 'lengths' are [3, 2], and the rows of 'x' have [3, 1]. Leave the lengths out"
    refused(SPEECH, InputError, message, {"x": rows(3, 1)}, [3, 2])
    refused(SPEECH, InputError, message, {"x": rows(3, 1), "lengths": np.array([3, 2])})


def test_the_batch_axis_is_put_where_the_signature_has_it():
    feed = PAIR.feed(
        {"source": rows(1, 2), "target": [[7, 8, 1], [2]], "side": np.ones((2, 2), np.float32)},
    )
    np.testing.assert_array_equal(feed["source"], [[[1, 2], [1, 2]], [[0, 0], [3, 4]]])
    # 0 is outside of the declared range, so the padding is the value nearest to it.
    np.testing.assert_array_equal(feed["target"], [[7, 8, 1], [2, 1, 1]])
    assert feed["target"].dtype == np.int32
    np.testing.assert_array_equal(feed["a"], [1, 2])
    np.testing.assert_array_equal(feed["b"], [3, 1])
    assert feed["b"].dtype == np.int32


def test_rows_of_several_inputs_must_belong_together():
    inputs = {"source": rows(1, 2), "side": [np.ones(2, np.float32)] * 2, "target": [[1], [1]]}
    message = "the rows of 'source' and 'side' have different sizes of 'time': [1, 2] and [2, 2]"
    refused(PAIR, ShapeError, message, inputs)


def test_a_dense_array_beside_a_list_must_have_the_padded_size():
    inputs = {"source": rows(1, 2), "side": np.ones((2, 3), np.float32), "target": [[1], [1]]}
    refused(PAIR, ShapeError, "axis 'time' is 3 in input 'side' and 2 in input 'source'", inputs)


def test_without_lengths_only_equal_rows_are_taken():
    np.testing.assert_array_equal(PLAIN.feed({"x": rows(2, 2)})["x"], np.stack(rows(2, 2)))
    message = "the rows of input 'x' have different sizes [3, 1] along 'time', and the model has no lengths for it"
    refused(PLAIN, InputError, message, {"x": rows(3, 1)})
    uneven = [np.ones((2, 2), np.float32), np.ones((2, 3), np.float32)]
    refused(SPEECH, InputError, "different sizes [2, 3] along '2'", {"x": uneven})


def test_rows_are_checked():
    message = "input 'x', row 1, has dtype float64; it must be float32"
    refused(SPEECH, DtypeError, message, {"x": [*rows(2), np.ones((1, 2))]})
    message = "row 0 of input 'x' has 3 axes, shape (1, 2, 2); rows of a list have no batch axis and so must have 2"
    refused(SPEECH, ShapeError, message, {"x": [rows(2)[0][None]]})
    refused(SPEECH, InputError, "length 0 of row 1", {"x": rows(2, 0)})
    refused(SPEECH, ShapeError, "input 'x' has 1 axes, shape (0,)", {"x": []})
    refused(SPEECH, ShapeError, "is a nested list of uneven rows", {"x": [[[1, 2], [3]], [[1, 2]]]})
    unbatched = feeder("x: float32[time, 2]")
    message = "input 'x' is a list, and has no batch axis: x: float32[time, 2]"
    refused(unbatched, InputError, message, {"x": [np.ones(2, np.float32)]})
