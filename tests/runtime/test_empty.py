"""Empty batches are answered without ONNX Runtime, whose LSTM would end the process."""

import re

import numpy as np
import pytest

import rnnx
from rnnx.errors import ShapeError
from rnnx.runtime.empty import empty_answer
from rnnx.signature import AxisRange, Signature, parse_tensor

SIGNATURE = Signature(
    inputs=(parse_tensor("x: float32[batch, time, 3]"), parse_tensor("s: float32[batch]")),
    outputs=(parse_tensor("y: float32[batch, time, 2]"), parse_tensor("z: int64[batch]")),
)


def with_axis(axis):
    """SIGNATURE with one output ``(batch, axis)``."""
    from dataclasses import replace

    return replace(SIGNATURE, outputs=(replace(SIGNATURE.outputs[0], axes=("batch", axis)),))


def feed(batch, time):
    return {"x": np.zeros((batch, time, 3), np.float32), "s": np.zeros(batch, np.float32)}


def test_an_lstm_answers_an_empty_batch(make_lstm):
    ranges = [AxisRange(name="batch", minimum=0)]
    with rnnx.load(make_lstm(ranges=ranges), provider="cpu") as session:
        found = session.run({"features": np.zeros((0, 7, 3), np.float32)})
    assert {name: (value.shape, value.dtype) for name, value in found.items()} == {
        "y": ((0, 7, 4), np.float32),
        "h_n": ((1, 0, 4), np.float32),
        "c_n": ((1, 0, 4), np.float32),
    }


def test_only_what_is_empty_in_every_output_is_answered():
    assert empty_answer(SIGNATURE, feed(2, 3), ["y", "z"]) is None
    assert empty_answer(SIGNATURE, feed(2, 0), ["y", "z"]) is None
    found = empty_answer(SIGNATURE, feed(2, 0), ["y"])
    assert found["y"].shape == (2, 0, 2)
    found = empty_answer(SIGNATURE, feed(0, 3), ["z", "y"])
    assert {name: (one.shape, one.dtype) for name, one in found.items()} == {
        "z": ((0,), np.int64),
        "y": ((0, 3, 2), np.float32),
    }


@pytest.mark.parametrize(
    ("axis", "size"),
    [("time//2", 3), ("(time - 1)//2 + 1", 4), ("2*time", 14), ("time % 4", 3), ("time - 9", 0), (5, 5)],
)
def test_sizes_that_follow_from_the_inputs(axis, size):
    assert empty_answer(with_axis(axis), feed(0, 7), ["y"])["y"].shape == (0, size)


@pytest.mark.parametrize("axis", ["frames", "time//0", "floor(time)", "time.real", "time +"])
def test_sizes_that_do_not(axis):
    message = f"needs the size of the axis '{axis}', which does not follow from 'batch', 'time'. Give at least one row"
    with pytest.raises(ShapeError, match=re.escape(message)):
        empty_answer(with_axis(axis), feed(0, 7), ["y"])
