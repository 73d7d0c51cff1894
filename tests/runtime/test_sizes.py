"""Ranges of axes: read, held against what the model takes, and what is made of them."""

from __future__ import annotations

import re

import numpy as np
import pytest

from rnnx.errors import InputError
from rnnx.runtime.sizes import check_ranges, covering, narrowed, one_size, parse_ranges, plan_sizes
from rnnx.signature import AxisRange, Signature, parse_tensor


def face(*ranges, batch="batch"):
    return Signature(
        inputs=(parse_tensor(f"x: float32[{batch}, time, 3]"), parse_tensor(f"s: float32[{batch}, 4]")), ranges=ranges
    )


def test_ranges_are_read():
    assert parse_ranges(["time=1:64:512", " batch = 8 "]) == {"time": (1, 64, 512), "batch": (8, 8, 8)}
    assert parse_ranges([]) == {}
    assert [str(one) for one in check_ranges(face(), {"time": (1, 64, 512), "batch": 8}).values()] == [
        "time=1:64:512",
        "batch=8",
    ]


@pytest.mark.parametrize(
    "text",
    ["time", "time=", "time=1:2", "time=1:2:3:4", "=1:2:3", "time=-1:2:3", "time=1:a:3", "2=1", "t=1:2:3x", "t=٣"],
)
def test_what_is_no_range(text):
    with pytest.raises(InputError, match=rf"cannot read the range '{re.escape(text)}'. Write it as 'AXIS=SMALLEST:"):
        parse_ranges([text])


def test_an_axis_has_one_range():
    with pytest.raises(InputError, match="axis 'time' is given two ranges"):
        parse_ranges(["time=1:2:3", "time=4"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tme": (1, 2, 3)}, "a range is given for the axis 'tme', which this variant has not; it has 'batch', 'time'"),
        ({"time": (8, 4, 16)}, "the range 'time=8:4:16' does not rise from at least 1"),
        ({"time": (4, 8, 6)}, "the range 'time=4:8:6' does not rise"),
        ({"time": (0, 1, 2)}, "the range 'time=0:1:2' does not rise from at least 1"),
        ({"time": 0}, "does not rise from at least 1"),
        ({"time": (1, 2)}, r"the range of axis 'time' is (1, 2); it must be (smallest, usual, largest) or a size"),
        ({"time": "1:2:3"}, "the range of axis 'time' is '1:2:3'; it must be"),
        ({"time": (1, 2.0, 3)}, "it must be (smallest, usual, largest)"),
        ({"time": True}, "it must be (smallest, usual, largest)"),
        (
            {"time": (2, 4, 100)},
            "the range 'time=2:4:100' has the size 100, and the model takes 2 <= time <= 64, a mul",
        ),
        ({"time": (1, 4, 8)}, "has the size 1, and the model takes 2 <= time <= 64"),
        ({"time": (2, 5, 8)}, "has the size 5, and the model takes"),
    ],
)
def test_ranges_that_the_model_does_not_take(given, message):
    signature = face(AxisRange(name="time", minimum=2, maximum=64, multiple_of=2))
    with pytest.raises(InputError, match=re.escape(message)):
        check_ranges(signature, given)


def test_a_model_of_fixed_axes_takes_no_range():
    with pytest.raises(InputError, match="it has none: all its axes are fixed"):
        check_ranges(Signature(inputs=(parse_tensor("x: float32[2, 3]"),)), {"time": 1})


def test_declared_ranges_are_taken_where_they_end():
    signature = face(AxisRange(name="time", minimum=0, maximum=64, multiple_of=4), AxisRange(name="batch", maximum=8))
    found = plan_sizes(signature, {})
    assert [str(one) for one in found.values()] == ["batch=1:8:8", "time=4:64:64"], "no engine takes an empty axis"
    assert str(plan_sizes(signature, {"batch": (1, 2, 4)})["batch"]) == "batch=1:2:4"


def test_what_is_missing_is_told_with_what_to_write():
    message = (
        "the model declares no largest size of 'batch' and 'time', and TensorRT builds its engine for a range. Give "
        "the smallest, the usual and the largest size: ranges={'batch': (1, 64, 512), 'time': (1, 64, 512)}, or "
        "--range batch=1:64:512 --range time=1:64:512."
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        plan_sizes(face(), {})


def test_one_size_of_each_axis():
    fixed = face(AxisRange(name="time", minimum=1, maximum=1))
    assert {axis: one.maximum for axis, one in one_size(fixed, {"batch": 4}).items()} == {"batch": 4, "time": 1}
    with pytest.raises(InputError, match=r"'time' has none. Give all: cuda_graph=\{'batch': 1, 'time': 1\}"):
        one_size(face(), {"batch": 4})
    with pytest.raises(InputError, match="a CUDA graph holds one size of each axis, and the range 'time=1:2:3' has"):
        one_size(face(), {"batch": 4, "time": (1, 2, 3)})


def test_a_narrowed_signature_takes_the_sizes_alone():
    signature = face(AxisRange(name="time", minimum=2, maximum=64, multiple_of=2))
    found = narrowed(signature, check_ranges(signature, {"time": (2, 4, 8), "batch": 3}))
    assert found.range("time") == AxisRange(name="time", minimum=2, maximum=8, multiple_of=2)
    assert found.range("batch") == AxisRange(name="batch", minimum=3, maximum=3)
    assert found.inputs == signature.inputs
    assert narrowed(signature, {}) is signature


def test_ranges_that_cover_runs():
    runs = [{"x": np.zeros((2, 7, 3)), "other": np.zeros(9)}, {"x": np.zeros((5, 4, 3)), "s": np.zeros((5, 4))}]
    assert covering(face(), runs) == {"batch": (1, 5, 5), "time": (1, 7, 7)}
    even = face(AxisRange(name="time", minimum=2, maximum=64, multiple_of=2))
    assert covering(even, [{"x": np.zeros((1, 6, 3))}])["time"] == (2, 6, 6)
