"""Arrays of one float width for a face of another."""

from __future__ import annotations

import numpy as np

from rnnx.runtime.casting import cast_inputs, cast_outputs
from rnnx.signature import Signature, TensorSpec

SIGNATURE = Signature(
    inputs=(
        TensorSpec(name="x", dtype="float16", axes=("batch",)),
        TensorSpec(name="n", dtype="int64", axes=("batch",)),
    ),
    outputs=(TensorSpec(name="y", dtype="float32", axes=("batch",)),),
)


def test_floats_are_cast_and_nothing_else_is():
    arrays = {"x": np.array([1 / 3], np.float32), "n": np.array([3], np.int32), "other": np.array([1.0])}
    found = cast_inputs(SIGNATURE, arrays)
    assert [found[name].dtype.name for name in arrays] == ["float16", "int32", "float64"]
    assert found["x"][0] == np.float16(1 / 3)
    assert found["other"] is arrays["other"]
    answer = {"y": np.array([1 / 3], np.float16), "n": np.array([True])}
    back = cast_outputs(SIGNATURE, answer)
    assert back["y"].dtype == np.float32
    assert back["n"].dtype == np.bool_


def test_a_float_for_an_integer_is_left_for_the_session_to_refuse():
    assert cast_inputs(SIGNATURE, {"n": np.array([1.5])})["n"].dtype == np.float64
