"""Inputs made from a signature, and real ones cut and repeated."""

import numpy as np
import pytest

from rnnx.benchmarks.bench.inputs import axis_sizes, check_data, make_inputs, whole_feed
from rnnx.benchmarks.bench.request import Origin, Request, _check_sizes, batches_of, times_of
from rnnx.bundle import Bundle
from rnnx.errors import InputError
from rnnx.signature import AxisRange, LengthsSpec, Signature, StateSpec, parse_tensor

SIGNATURE = Signature(
    inputs=(
        parse_tensor("tokens: int64[batch, time] >= 1, < 7"),
        parse_tensor("lengths: int64[batch]"),
        parse_tensor("memory: float32[batch, source, 2]"),
        parse_tensor("mask: bool[batch, time]"),
        parse_tensor("limit: int64[] >= 3, < 4"),
        parse_tensor("h_0: float32[1, batch, 4]"),
    ),
    lengths=(LengthsSpec(name="lengths", axis="time"),),
    states=(StateSpec(name="h_0"),),
    ranges=(AxisRange(name="source", minimum=4, multiple_of=4),),
)
SIZES = {"batch": 3, "time": 50, "source": 4}


def test_axes_that_nobody_named_are_as_long_as_time_where_they_may():
    assert axis_sizes(SIGNATURE, batch=3, time=5, others={}) == {"batch": 3, "time": 5, "source": 8}
    assert axis_sizes(SIGNATURE, batch=3, time=5, others={"source": 12})["source"] == 12


@pytest.mark.parametrize(
    ("declaration", "asked", "batches", "times"),
    [
        ("x: float32[batch, time, 2]", {}, (1,), (1, 100)),
        ("x: float32[batch, time, 2]", {"batches": (2, 4), "times": (7,)}, (2, 4), (7,)),
        ("x: float32[batch, 2]", {}, (1,), (1,)),
        ("x: float32[4, time, 2]", {}, (4,), (1, 100)),
        ("x: float32[batch, frames, 2]", {}, (1,), (5, 60)),
        ("x: float32[batch, frames, 2]", {"sizes": {"frames": 9}}, (1,), (1,)),
    ],
)
def test_what_is_measured_where_nothing_is_said(declaration, asked, batches, times):
    ranges = (AxisRange(name="frames", minimum=5, maximum=60),)
    signature = Signature(inputs=(parse_tensor(declaration),), ranges=ranges)
    request = Request(origin=Origin(bundle=""), **asked)
    assert (batches_of(request, signature), times_of(request, signature)) == (batches, times)
    _check_sizes(request, signature)


@pytest.mark.parametrize(
    ("declaration", "asked", "said"),
    [
        ("x: float32[4, time, 2]", {"batches": (1,)}, "--batch is '1', but the bundle's batch is not dynamic"),
        ("x: float32[batch, 2]", {"times": (1,)}, "--time is '1', but no axis goes through time: .* are 'batch'"),
        (
            "x: float32[batch, time, 2]",
            {"times": (99,)},
            "time 99 is not within what the bundle takes: 1 <= time <= 60",
        ),
        ("x: float32[batch, source, 2]", {"sizes": {"time": 3}}, "other dynamic axes than batch and time are 'source'"),
    ],
)
def test_sizes_that_the_bundle_does_not_take_are_refused(declaration, asked, said):
    signature = Signature(inputs=(parse_tensor(declaration),), ranges=(AxisRange(name="time", maximum=60),))
    with pytest.raises(InputError, match=said):
        _check_sizes(Request(origin=Origin(bundle=""), **asked), signature)


def test_random_inputs_are_what_the_signature_says():
    found = make_inputs(SIGNATURE, SIZES, seed=0)
    assert list(found) == ["tokens", "lengths", "memory", "mask", "limit"]  # a state begins as the model begins it
    assert set(found["tokens"].ravel().tolist()) == {1, 2, 3, 4, 5, 6}
    assert found["lengths"].tolist() == [50, 50, 50]
    assert (found["memory"].dtype, found["memory"].shape) == (np.float32, (3, 4, 2))
    assert found["mask"].dtype == np.bool_
    assert (found["limit"].shape, found["limit"].dtype, int(found["limit"])) == ((), np.int64, 3)
    again = make_inputs(SIGNATURE, SIZES, seed=0)
    assert all(np.array_equal(found[name], again[name]) for name in found)
    assert not np.array_equal(found["memory"], make_inputs(SIGNATURE, SIZES, seed=1)["memory"])


def test_real_inputs_are_cut_and_repeated_from_the_beginning():
    data = {"tokens": np.array([[1, 2, 3], [4, 5, 6]]), "lengths": np.array([3, 2])}
    found = make_inputs(SIGNATURE, {"batch": 3, "time": 2, "source": 4}, seed=0, data=data)
    assert found["tokens"].tolist() == [[1, 2], [4, 5], [1, 2]]
    assert found["lengths"].tolist() == [2, 2, 2]
    longer = make_inputs(SIGNATURE, {"batch": 1, "time": 5, "source": 4}, seed=0, data=data)
    assert longer["tokens"].tolist() == [[1, 2, 3, 1, 2]]
    assert longer["lengths"].tolist() == [3]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"nosuch": np.zeros(1)}, "the data holds 'nosuch', which is no input. The model takes 'tokens'"),
        ({"memory": np.zeros((1, 4, 2))}, r"'memory' is float64\[1, 4, 2\]; it must be memory: float32"),
        ({"memory": np.zeros((1, 4, 3), np.float32)}, r"'memory' is float32\[1, 4, 3\]"),
        ({"memory": np.zeros((1, 4), np.float32)}, r"'memory' is float32\[1, 4\]"),
        ({"tokens": np.zeros((0, 4), np.int64)}, r"'tokens' is int64\[0, 4\]"),
    ],
)
def test_data_that_does_not_fit_is_refused(data, said):
    with pytest.raises(InputError, match=said):
        check_data(SIGNATURE, data)


def test_the_whole_feed_of_a_stream_has_its_states_as_they_begin(tiny):
    bundle = Bundle.open(tiny.bundle)
    inputs = make_inputs(bundle.manifest.signature, {"batch": 2, "time": 3}, seed=0)
    feed = whole_feed(bundle, bundle.variant("fp32", "streaming"), inputs)
    states = sorted(set(feed) - {"x"})
    assert len(states) == 2
    for name in states:
        assert feed[name].shape[0] == 2
        assert not feed[name].any()
