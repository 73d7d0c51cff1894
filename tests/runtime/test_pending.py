"""Frames that wait: which are run, which stay, in whatever layout the inputs have. Without a graph."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

from rnnx.bundle import npz_bytes
from rnnx.errors import StateError
from rnnx.manifest import BEGUN, ENDING, Chunks
from rnnx.runtime.pending import Waiting, time_position
from rnnx.runtime.state import State
from rnnx.signature import Signature, StateSpec, TensorSpec, parse_tensor

OWNER = "0" * 64 + " fp32-streaming"
FLAGS = (StateSpec(name=BEGUN, output=f"{BEGUN}_next"), StateSpec(name=ENDING))


def waiting(*inputs, chunks, outputs=("y: float32[batch, time, 2]",), rows="batch"):
    flags = [f"{name}: int64[{rows}]" for name in (BEGUN, ENDING)]
    signature = Signature(
        inputs=tuple(parse_tensor(one) for one in (*inputs, *flags)),
        outputs=(
            *(one if isinstance(one, TensorSpec) else parse_tensor(one) for one in outputs),
            parse_tensor(f"{BEGUN}_next: int64[{rows}]"),
        ),
        states=FLAGS,
    )
    return Waiting(signature, Chunks(axis="time", **chunks))


def state(batch=2, *, begun=0, pending=None, frames=0):
    return State(owner=OWNER, values={BEGUN: np.full(batch, begun, np.int64)}, pending=pending or {}, waiting=frames)


def test_an_expression_over_time_is_over_time():
    assert time_position(("batch", "time", 4), "time") == 1
    assert time_position(("(time - 1)//2 + 1", "batch"), "time") == 0
    assert time_position(("batch", "times", 4), "time") is None
    assert time_position((2, 3), "time") is None


@pytest.mark.parametrize(
    ("begun", "frames", "expected"),
    [(0, 6, 0), (0, 7, 0), (0, 8, 7), (0, 10, 7), (0, 11, 10), (1, 3, 0), (1, 4, 3), (1, 6, 3), (1, 7, 6), (1, 0, 0)],
)
def test_how_many_frames_a_run_takes(begun, frames, expected):
    # The first run takes 7, 10, 13 ... frames, later ones 3, 6, 9 ..., and one frame always waits.
    plan = waiting("x: float32[batch, time, 4]", chunks={"multiple": 3, "first": 7, "keep": 1})
    assert plan.runnable(frames, state(begun=begun)) == expected


def test_whether_the_end_gives_anything():
    plan = waiting("x: float32[batch, time, 4]", chunks={"multiple": 3, "first": 7, "last": 2, "least": 5})
    assert [plan.ends_with_run(n, state(begun=1)) for n in (1, 2)] == [False, True]
    assert [plan.ends_with_run(n, state()) for n in (4, 5)] == [False, True]


@pytest.mark.parametrize(
    ("axes", "shape"), [("batch, time, 4", (2, 5, 4)), ("time, batch, 4", (5, 2, 4)), ("batch, 4, time", (2, 4, 5))]
)
def test_frames_wait_in_one_layout_and_come_back_in_their_own(axes, shape):
    plan = waiting(f"x: float32[{axes}]", chunks={"multiple": 2, "first": 2})
    x = np.arange(40, dtype=np.float32).reshape(shape)
    first, second = np.split(x, [3], axis=shape.index(5))
    held = plan.joined(state(), {"x": first})
    rest = plan.rest(held, 2)
    assert rest["x"].shape == (2, 1, 4)
    again = plan.joined(state(begun=1, pending=rest, frames=1), {"x": second})
    assert plan.frames(again) == 3
    whole = np.concatenate([plan.fed(held, 2)["x"], plan.fed(again, 3)["x"]], axis=shape.index(5))
    np.testing.assert_array_equal(whole, x)
    assert plan.fed(again, 3)["x"].flags.c_contiguous


def test_one_stream_without_a_batch_axis():
    plan = waiting("x: float32[time, 4]", chunks={"multiple": 2}, outputs=("y: float32[time, 2]",), rows="1")
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    held = plan.joined(state(1), {"x": x})
    assert held["x"].shape == (1, 3, 4)
    np.testing.assert_array_equal(plan.fed(held, 2)["x"], x[:2])
    assert plan.nothing(held, state(1))["y"].shape == (0, 2)


def test_inputs_without_frames_wait_as_they_were_given_last():
    plan = waiting("x: float32[batch, time, 4]", "who: float32[batch, 3]", "gain: float32[1]", chunks={"multiple": 2})
    feed = {"x": np.zeros((2, 1, 4), np.float32), "who": np.ones((2, 3), np.float32), "gain": np.full(1, 3, np.float32)}
    rest = plan.rest(plan.joined(state(), feed), 0)
    assert {name: array.shape for name, array in rest.items()} == {"x": (2, 1, 4), "who": (2, 3), "gain": (2, 1)}
    later = plan.joined(state(pending=rest, frames=1), {**feed, "who": feed["who"] * 5})
    assert plan.frames(later) == 2
    fed = plan.fed(later, 2)
    np.testing.assert_array_equal(fed["who"], np.full((2, 3), 5, np.float32))
    np.testing.assert_array_equal(fed["gain"], [3])


def test_empty_answers_have_the_other_axes():
    plan = waiting(
        "x: float32[batch, time, height, 4]",
        chunks={"multiple": 2},
        outputs=(
            TensorSpec(name="y", dtype="int64", axes=("time//2", "batch", "height")),
            "last: float32[batch, 2]",
        ),
    )
    held = plan.joined(state(), {"x": np.zeros((2, 1, 7, 4), np.float32)})
    ((name, array),) = plan.nothing(held, state()).items()
    assert (name, array.shape, array.dtype) == ("y", (0, 2, 7), np.int64)


def test_the_last_run_is_told_in_every_row():
    plan = waiting("x: float32[batch, time, 4]", chunks={"multiple": 2})
    np.testing.assert_array_equal(plan.ending(state(3))[ENDING], np.ones(3, np.int64))


def test_waiting_frames_travel_with_the_state():
    there = state(begun=1, pending={"x": np.arange(6, dtype=np.float32).reshape(2, 3)}, frames=3)
    back = State.from_bytes(there.to_bytes())
    assert (back.owner, back.waiting, back.batch) == (OWNER, 3, 2)
    np.testing.assert_array_equal(back.pending["x"], there.pending["x"])
    assert back.nbytes() == 2 * 8 + 6 * 4


def test_a_state_of_the_first_form_is_read():
    header = json.dumps({"format": 1, "owner": OWNER, "names": ["h"]}).encode()
    raw = npz_bytes({"header": np.frombuffer(header, np.uint8), "state0": np.ones((2, 3), np.float32)})
    back = State.from_bytes(raw)
    assert (back.pending, back.waiting) == ({}, 0)
    np.testing.assert_array_equal(back.values["h"], np.ones((2, 3), np.float32))


def test_a_state_of_a_newer_form_is_refused():
    with np.load(io.BytesIO(state().to_bytes())) as stored:
        arrays = dict(stored)
    header = json.loads(arrays["header"].tobytes()) | {"format": 3}
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    with pytest.raises(StateError, match="the state has form 3; this rnnx reads form 2"):
        State.from_bytes(npz_bytes(arrays))


def test_rows_are_replaced_with_their_frames():
    mine = state(begun=1, pending={"x": np.zeros((2, 1, 4), np.float32)}, frames=1)
    other = state(1, begun=1, pending={"x": np.ones((1, 1, 4), np.float32)}, frames=1)
    found = mine.replaced([1], other)
    np.testing.assert_array_equal(found.pending["x"][:, 0, 0], [0, 1])
    assert not mine.pending["x"].any()


def test_all_rows_are_replaced_whatever_waits():
    mine = state(begun=1, pending={"x": np.zeros((2, 3, 4), np.float32)}, frames=3)
    found = mine.replaced([1, 0], state(1))
    assert (found.pending, found.waiting, found.values[BEGUN].tolist()) == ({}, 0, [0, 0])
    two = state(2, begun=1, pending={"x": np.arange(8, dtype=np.float32).reshape(2, 1, 4)}, frames=1)
    swapped = mine.replaced([1, 0], two)
    np.testing.assert_array_equal(swapped.pending["x"], two.pending["x"][::-1])
    assert swapped.waiting == 1


@pytest.mark.parametrize("other", [{"frames": 2}, {"begun": 0, "frames": 1}])
def test_a_row_at_another_point_is_refused(other):
    mine = state(begun=1, pending={"x": np.zeros((2, 1, 4), np.float32)}, frames=1)
    with pytest.raises(StateError, match=r"rows \[0\] cannot be replaced alone: .* Replace all 2 rows"):
        mine.replaced([0], state(1, **{"begun": 1, **other}))
