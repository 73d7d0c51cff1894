"""Declarations parse to specs and back, and every wrong one says what to write."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnx.errors import SignatureError
from rnnx.signature import (
    DTYPES,
    AxisRange,
    LengthsSpec,
    Signature,
    StateSpec,
    TensorSpec,
    parse_lengths,
    parse_tensor,
)

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
PATHS = st.builds(
    lambda name, rest: ".".join([name, *rest]), NAMES, st.lists(st.sampled_from(["0", "h", "x_1"]), max_size=2)
)


@st.composite
def tensors(draw, name=PATHS):
    dtype = draw(st.sampled_from(DTYPES))
    axes = draw(
        st.lists(
            NAMES | st.integers(1, 4096), max_size=4, unique_by=lambda axis: axis if isinstance(axis, str) else object()
        )
    )
    minimum = bound = None
    if "int" in dtype:
        minimum = draw(st.none() | st.integers(-5, 5))
        bound = draw(st.none() | st.integers((minimum or 0) + 1, 9000))
    called = draw(name)
    argument = draw(st.just(called) | PATHS)
    return TensorSpec(name=called, dtype=dtype, axes=tuple(axes), minimum=minimum, bound=bound, argument=argument)


@given(tensors())
def test_a_tensor_is_what_its_text_parses_to(spec):
    assert parse_tensor(str(spec)) == spec


@st.composite
def signatures(draw):
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    inputs = [draw(tensors(name=st.just(name))) for name in names]
    outputs = draw(st.lists(tensors(), max_size=3))
    axes = [axis for spec in inputs for axis in spec.dynamic_axes]
    lengths = []
    if axes and draw(st.booleans()):
        lengths = [LengthsSpec(name="lengths_", axis=draw(st.sampled_from(axes)), tight=draw(st.booleans()))]
        inputs.append(TensorSpec(name="lengths_", dtype="int64", axes=("batch",), argument="lengths_"))
    states = [StateSpec(name=names[0], output=draw(st.none() | NAMES))] if draw(st.booleans()) else []
    ranges = draw(
        st.lists(
            st.builds(
                AxisRange,
                name=NAMES,
                minimum=st.integers(0, 9),
                maximum=st.none() | st.integers(9, 99),
                multiple_of=st.integers(1, 8),
            ),
            max_size=2,
        )
    )
    return Signature(
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        lengths=tuple(lengths),
        states=tuple(states),
        ranges=tuple(ranges),
    )


@given(signatures())
def test_a_signature_survives_json(signature):
    assert Signature.from_json(json.loads(json.dumps(signature.to_json()))) == signature


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("x:float32[]", TensorSpec(name="x", dtype="float32", axes=(), argument="x")),
        (
            " features : float32 [ batch , time, 40 ] ",
            TensorSpec(name="features", dtype="float32", axes=("batch", "time", 40), argument="features"),
        ),
        (
            "tokens: int64[batch, time] < 5000",
            TensorSpec(name="tokens", dtype="int64", axes=("batch", "time"), bound=5000, argument="tokens"),
        ),
        (
            "ids -> words.0: int32[n] >= -1, < 7",
            TensorSpec(name="ids", dtype="int32", axes=("n",), minimum=-1, bound=7, argument="words.0"),
        ),
        (
            "k: uint8[2] >= 1",
            TensorSpec(name="k", dtype="uint8", axes=(2,), minimum=1, argument="k"),
        ),
    ],
)
def test_declarations(text, spec):
    assert parse_tensor(text) == spec


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot read the declaration ''. Write it as 'name: dtype[axis, ...]'"),
        ("x", "cannot read the declaration 'x'"),
        ("x: float32", "cannot read the declaration 'x: float32'"),
        ("x: float32[a] < many", "cannot read the declaration"),
        ("1x: float32[a]", "'1x' in '1x: float32[a]' is not a name"),
        ("x -> y.: float32[a]", "'y.' in 'x -> y.: float32[a]' is not a name"),
        ("x: float[a]", "dtype 'float' in 'x: float[a]' is not known. Allowed are 'float32', 'float64'"),
        ("x: float32[a] < 3", "only integers take a range, and 'float32' is none"),
        ("x: int64[a] < 0", "the range is empty. Its bound must be above 0."),
        ("x: int64[a] >= 5 < 5", "the range is empty. Its bound must be above 5."),
        ("x: float32[a, a]", "axis 'a' stands twice"),
        ("x: float32[0]", "axis '0' in 'x: float32[0]' is neither a positive number nor a name"),
        ("x: float32[-1]", "axis '-1' in"),
        ("x: float32[a,,b]", "axis '' in"),
    ],
)
def test_wrong_declarations(text, message):
    with pytest.raises(SignatureError, match=re.escape(message)):
        parse_tensor(text)


@pytest.mark.parametrize(
    ("text", "inputs", "axis"),
    [
        ("lengths", ["x: float32[batch, time, 3]"], "time"),
        ("lengths", ["x: float32[batch, time, steps]"], "time"),
        ("lengths", ["x: float32[batch, frames]"], "frames"),
        (" n : steps ", ["x: float32[batch, time]", "y: int64[batch, steps]"], "steps"),
    ],
)
def test_lengths(text, inputs, axis):
    found = parse_lengths(text, [parse_tensor(one) for one in inputs])
    assert found == LengthsSpec(name=text.partition(":")[0].strip(), axis=axis)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "lengths",
            "which axis do the lengths 'lengths' measure? The dynamic axes are 'a', 'b'. Write 'lengths:AXIS'.",
        ),
        ("1", "lengths '1' must be 'name' or 'name:axis'"),
    ],
)
def test_wrong_lengths(text, message):
    with pytest.raises(SignatureError, match=re.escape(message)):
        parse_lengths(text, [parse_tensor("x: float32[batch, a, b]")])


X = "x: float32[batch, time]"


@pytest.mark.parametrize(
    ("inputs", "others", "message"),
    [
        ([], {}, "no inputs are declared"),
        ([X, X], {}, "input 'x' is declared twice"),
        ([X], {"lengths": [("n", "time")]}, "lengths 'n' must be an int64[batch] input; found no such input"),
        ([X, "n: float32[batch]"], {"lengths": [("n", "time")]}, "found 'n: float32[batch]'"),
        ([X, "n: int64[batch, 1]"], {"lengths": [("n", "time")]}, "found 'n: int64[batch, 1]'"),
        ([X, "n: int64[batch]"], {"lengths": [("n", "steps")]}, "measure the axis 'steps', which no input has"),
        ([X], {"states": ["h_0"]}, "state 'h_0' is not among the inputs 'x'"),
    ],
)
def test_parts_that_do_not_fit_together(inputs, others, message):
    signature = Signature(
        inputs=tuple(parse_tensor(one) for one in inputs),
        lengths=tuple(LengthsSpec(name=name, axis=axis) for name, axis in others.get("lengths", ())),
        states=tuple(StateSpec(name=name) for name in others.get("states", ())),
    )
    with pytest.raises(SignatureError, match=re.escape(message)):
        signature.check()


def test_looking_up():
    signature = Signature(
        inputs=(parse_tensor(X), parse_tensor("h: float32[2, batch, 4]")),
        outputs=(parse_tensor("y: float32[batch]"),),
        states=(StateSpec(name="h"),),
        ranges=(AxisRange(name="time", minimum=5),),
    )
    assert signature.input("h").axes == (2, "batch", 4)
    assert signature.output("y").dtype == "float32"
    assert signature.dynamic_axes == ("batch", "time")
    assert signature.state_names == {"h"}
    assert signature.range("time").minimum == 5
    assert signature.range("batch") == AxisRange(name="batch")
    for look_up in (signature.input, signature.output):
        with pytest.raises(KeyError, match="nope"):
            look_up("nope")


@pytest.mark.parametrize(
    ("axis_range", "text", "admitted"),
    [
        (AxisRange(name="t"), "t >= 1", {1, 2, 3, 4, 5, 6, 7, 8, 9}),
        (AxisRange(name="t", minimum=0, maximum=2), "0 <= t <= 2", {0, 1, 2}),
        (AxisRange(name="t", minimum=2, multiple_of=3), "t >= 2, a multiple of 3", {3, 6, 9}),
        (AxisRange(name="t", minimum=2, maximum=6, multiple_of=2), "2 <= t <= 6, a multiple of 2", {2, 4, 6}),
    ],
)
def test_ranges(axis_range, text, admitted):
    assert str(axis_range) == text
    assert {size for size in range(10) if axis_range.admits(size)} == admitted
