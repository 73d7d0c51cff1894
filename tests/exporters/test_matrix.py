"""The matrix covers what the signature allows, and nothing else."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rnnx.exporters.exporter import declare
from rnnx.exporters.matrix import BATCHES, TIMES, build_matrix
from rnnx.signature import AxisRange, LengthsSpec, Signature, StateSpec, parse_tensor

X = "x: float32[batch, time, 2]"


def sizes_of(cases, *axes):
    return {tuple(case.sizes[axis] for axis in axes) for case in cases}


def signature_of(*inputs, lengths=(), states=(), ranges=()):
    return Signature(
        inputs=tuple(parse_tensor(one) for one in inputs),
        lengths=tuple(LengthsSpec(name=name, axis=axis) for name, axis in lengths),
        states=tuple(StateSpec(name=name) for name in states),
        ranges=tuple(ranges),
    ).check()


@pytest.fixture(scope="module")
def packed():
    """Lengths and two states: every kind of case."""
    signature = declare([X], lengths="lengths", states=[f"{name}: float32[1, batch, 4]" for name in ("h_0", "c_0")])
    return build_matrix(signature, traced={"batch": 3, "time": 11})


def test_sizes_are_those_of_the_issue():
    cases = build_matrix(declare([X]), traced={"batch": 3, "time": 11})
    assert sizes_of(cases, "batch", "time") == set(itertools.product((1, 2, 5), (1, 2, 7, 33, 257)))
    assert len(cases) == 15
    assert all(case.inputs["x"].shape == (case.sizes["batch"], case.sizes["time"], 2) for case in cases)
    assert {(case.lengths, case.states) for case in cases} == {("", "")}
    assert str(cases[0]) == "batch=1 time=1"


def test_every_kind_of_lengths_and_states(packed):
    found = {}
    for case in packed:
        found.setdefault((case.sizes["batch"], case.sizes["time"]), []).append((case.lengths, case.states))
    states = ("absent", "random")
    for batch in BATCHES:
        assert found[batch, 1] == list(itertools.product(("full",), states))
        assert found[batch, 257] == list(itertools.product(("full", "mixed"), states))
        for time in (2, 7, 33):
            assert set(found[batch, time]) == set(itertools.product(("full", "ones", "mixed", "short"), states))
            assert len(found[batch, time]) == 8
    assert len({str(case) for case in packed}) == len(packed), "every case has a name of its own"
    assert str(packed[-1]) == "batch=5 time=257 lengths=mixed states=random"


def test_lengths_are_what_they_are_called(packed):
    seen = set()
    for case in packed:
        lengths, time = case.inputs["lengths"], case.sizes["time"]
        assert lengths.dtype == np.int64
        assert lengths.shape == (case.sizes["batch"],)
        assert lengths.min() >= 1
        assert lengths.max() <= time
        if case.lengths == "full":
            assert (lengths == time).all()
        elif case.lengths == "ones":
            assert (lengths == 1).all()
        elif case.lengths == "mixed":
            assert (lengths == time).any(), "one row is full"
            seen.add(len(set(lengths.tolist())) > 1)
        else:
            assert (lengths < time).all(), "no row is full"
    assert seen == {True, False}, "rows of a mixed batch differ, where there is more than one"
    ragged = [
        case for case in packed if case.lengths == "mixed" and case.sizes["batch"] == 5 and case.sizes["time"] >= 7
    ]
    assert all(len(set(case.inputs["lengths"].tolist())) > 1 for case in ragged)


@pytest.mark.parametrize("dtype", ["int64", "int32"])
def test_descending_lengths(dtype):
    signature = declare([X, f"n: {dtype}[batch]"], lengths="n")
    plain = build_matrix(signature, traced={})
    cases = build_matrix(signature, traced={}, descending=True)
    assert any((np.diff(case.inputs["n"]) > 0).any() for case in plain), "they are not descending by chance"
    for one, other in zip(plain, cases, strict=True):
        lengths = other.inputs["n"]
        assert lengths.dtype == dtype
        assert (np.diff(lengths) <= 0).all()
        np.testing.assert_array_equal(np.sort(lengths), np.sort(one.inputs["n"]))


def test_lengths_of_two_axes():
    inputs = [X, "y: float32[batch, steps, 2]", "n: int64[batch]", "m: int64[batch]"]
    signature = signature_of(*inputs, lengths=[("n", "time"), ("m", "steps")])
    cases = build_matrix(signature, traced={"batch": 3, "time": 11, "steps": 13})
    assert {case.lengths for case in cases} == {"full", "ones", "mixed", "short"}
    for case in cases:
        for name, axis in (("n", "time"), ("m", "steps")):
            assert case.inputs[name].min() >= 1
            assert case.inputs[name].max() <= case.sizes[axis]


def test_states_are_absent_or_random(packed):
    for case in packed:
        if case.states == "absent":
            assert case.inputs.keys() == {"x", "lengths"}
        else:
            assert case.inputs.keys() == {"x", "lengths", "h_0", "c_0"}
            for name in ("h_0", "c_0"):
                assert case.inputs[name].shape == (1, case.sizes["batch"], 4)
                assert (case.inputs[name] != 0).all()
            assert (case.inputs["h_0"] != case.inputs["c_0"]).all()


@pytest.mark.parametrize(
    ("declaration", "values"),
    [
        ("n: int64[batch, time] >= 1, < 5", {1, 2, 3, 4}),
        ("n: int64[batch, time] < 3", {0, 1, 2}),
        ("n: int32[batch, time] >= 7", {7, 8}),
        ("n: int8[batch, time] >= -2, < 2", {-2, -1, 0, 1}),
        ("n: uint8[batch, time]", {0, 1}),
        ("n: bool[batch, time]", {False, True}),
    ],
)
def test_integers_take_every_value_of_their_range_and_no_other(declaration, values):
    cases = build_matrix(declare([declaration]), traced={})
    assert {value for case in cases for value in case.inputs["n"].ravel().tolist()} == values
    assert {str(case.inputs["n"].dtype) for case in cases} == {declaration.split()[1].partition("[")[0]}


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_floats_are_standard_normal(dtype):
    cases = build_matrix(declare([f"x: {dtype}[batch, time, 8]"]), traced={})
    values = np.concatenate([case.inputs["x"].ravel() for case in cases])
    assert values.dtype == dtype
    assert abs(values.astype(np.float64).mean()) < 0.05
    assert abs(values.astype(np.float64).std() - 1) < 0.05


def test_the_traced_example_is_never_a_case():
    for batch, time in itertools.product(BATCHES, TIMES):
        cases = build_matrix(declare([X]), traced={"batch": batch, "time": time})
        expected = set(itertools.product(BATCHES, TIMES)) - {(batch, time)}
        assert sizes_of(cases, "batch", "time") == expected


def test_without_dynamic_axes():
    cases = build_matrix(declare(["x: float32[2, 3]"]), traced={})
    assert [dict(case.sizes) for case in cases] == [{}]
    assert cases[0].inputs["x"].shape == (2, 3)


def test_without_a_batch():
    cases = build_matrix(declare(["x: float32[time, 3]"]), traced={"time": 11})
    assert sizes_of(cases, "time") == {(1,), (2,), (7,), (33,), (257,)}


def test_other_axes_move_too_and_not_in_step():
    cases = build_matrix(declare([X, "memory: float32[batch, places, 2]"]), traced={})
    assert {case.sizes["places"] for case in cases} == set(TIMES)
    assert {case.sizes["time"] for case in cases} == set(TIMES)
    assert all(case.sizes["places"] != case.sizes["time"] for case in cases)


def test_the_same_matrix_every_time():
    signature = declare([X, "n: int64[batch, time] < 9"], lengths="lengths", states=["h: float32[batch, 4]"])
    first, second, other = (build_matrix(signature, traced={}, seed=seed) for seed in (0, 0, 1))
    assert [str(case) for case in first] == [str(case) for case in second] == [str(case) for case in other]
    for one, same, different in zip(first, second, other, strict=True):
        assert one.inputs.keys() == same.inputs.keys()
        for name, array in one.inputs.items():
            np.testing.assert_array_equal(array, same.inputs[name])
        assert (one.inputs["x"] != different.inputs["x"]).all()


def test_every_case_has_values_of_its_own():
    cases = build_matrix(declare([X], states=["h: float32[batch, 4]"]), traced={})
    assert len({case.inputs["x"].ravel()[0] for case in cases}) == len(cases)


@given(
    minimum=st.integers(1, 300),
    extra=st.integers(0, 300) | st.none(),
    multiple_of=st.integers(1, 40),
    batch=st.tuples(st.integers(1, 6), st.integers(0, 3)),
)
def test_ranges_are_respected(minimum, extra, multiple_of, batch):
    time = AxisRange(
        name="time", minimum=minimum, maximum=None if extra is None else minimum + extra, multiple_of=multiple_of
    )
    admitted = [size for size in range(minimum, minimum + 1 + (300 if extra is None else extra)) if time.admits(size)]
    assume(admitted)
    rows = AxisRange(name="batch", minimum=batch[0], maximum=sum(batch))
    cases = build_matrix(signature_of(X, ranges=[time, rows]), traced={})
    assert cases
    for case in cases:
        assert time.admits(case.sizes["time"])
        assert rows.admits(case.sizes["batch"])
        assert case.inputs["x"].shape == (case.sizes["batch"], case.sizes["time"], 2)
    # The axis is seen to move wherever it can.
    assert len(sizes_of(cases, "time")) >= min(len(admitted), 2)
    assert len(sizes_of(cases, "batch")) == min(batch[1] + 1, len(BATCHES))


@given(minimum=st.integers(1, 60), multiple_of=st.integers(1, 8))
def test_lengths_stay_within_a_range(minimum, multiple_of):
    time = AxisRange(name="time", minimum=minimum, maximum=minimum + 80, multiple_of=multiple_of)
    signature = signature_of(X, "n: int64[batch]", lengths=[("n", "time")], ranges=[time])
    for case in build_matrix(signature, traced={}):
        assert 1 <= case.inputs["n"].min() <= case.inputs["n"].max() <= case.sizes["time"]
