"""State as a value, steps, streams: without torch, on a bundle made by hand."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import rnnx
from rnnx.bundle import golden_bytes, staging, write_manifest
from rnnx.errors import InputError, SessionError, StateError, VariantError
from rnnx.manifest import Manifest, Tolerance, Variant
from rnnx.runtime.state import State
from rnnx.runtime.stream import run_in_chunks
from rnnx.runtime.verify import verify
from rnnx.signature import AxisRange, Signature, StateSpec, parse_tensor

HIDDEN = 3
DECAY = np.array([0.5, 0.25, 0.75], np.float32)


def leaky_sum():
    """``s' = decay * s + x`` for every step, as a Scan: an answer that is easy to say by hand."""
    body = helper.make_graph(
        [
            helper.make_node("Mul", ["s", "decay"], ["kept"]),
            helper.make_node("Add", ["kept", "x_t"], ["s_next"]),
            helper.make_node("Identity", ["s_next"], ["y_t"]),
        ],
        "body",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, HIDDEN]) for name in ("s", "x_t")],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, HIDDEN]) for name in ("s_next", "y_t")],
    )
    scan = helper.make_node(
        "Scan", ["sum", "x"], ["sum_next", "y"], body=body, num_scan_inputs=1, scan_input_axes=[1], scan_output_axes=[1]
    )
    graph = helper.make_graph(
        [scan],
        "leaky",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "time", HIDDEN]),
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["batch", HIDDEN]),
        ],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "time", HIDDEN]),
            helper.make_tensor_value_info("sum_next", TensorProto.FLOAT, ["batch", HIDDEN]),
        ],
        [numpy_helper.from_array(DECAY, "decay")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def write(path, *, name="leaky", learned=None, golden=False):
    x, total = parse_tensor(f"x: float32[batch, time, {HIDDEN}]"), parse_tensor(f"sum: float32[batch, {HIDDEN}]")
    signature = Signature(
        inputs=(x, total),
        outputs=(
            parse_tensor(f"y: float32[batch, time, {HIDDEN}]"),
            parse_tensor(f"sum_next: float32[batch, {HIDDEN}]"),
        ),
        states=(
            StateSpec(name="sum", initial="stored" if learned else "zeros", output="sum_next", meaning="sum of leaky"),
        ),
        ranges=(AxisRange(name="batch"), AxisRange(name="time")),
    )
    variant = Variant(
        precision="fp32",
        mode="streaming",
        file="s.onnx",
        opset=20,
        tolerance=Tolerance(atol=1e-5, floor=1e-3),
        operators={"Scan": 1},
        signature=signature,
    )
    offline = Signature(inputs=(x,), outputs=(signature.outputs[0],))
    with staging(path) as folder:
        (folder / "s.onnx").write_bytes(leaky_sum())
        if learned is not None:
            np.savez(folder / "states.npz", sum=np.full((1, HIDDEN), learned, np.float32))
        if golden:
            (folder / "golden.npz").write_bytes(golden_bytes([]))
        write_manifest(folder, Manifest(name=name, signature=offline, variants=(variant,)))
    return path


def by_hand(x, start=0.0):
    """float32 ``(batch, time, hidden)`` of leaky sums."""
    total, answers = np.full((x.shape[0], HIDDEN), start, np.float64), []
    for t in range(x.shape[1]):
        total = total * DECAY + x[:, t]
        answers.append(total)
    return np.stack(answers, 1)


@pytest.fixture
def session(tmp_path):
    with rnnx.load(write(tmp_path / "leaky.rnnx"), mode="streaming", provider="cpu") as session:
        yield session


@pytest.fixture
def x():
    return np.random.default_rng(5).standard_normal((2, 9, HIDDEN)).astype(np.float32)


@pytest.mark.parametrize("cuts", [(), (1,), (4, 5), range(1, 9)])
def test_any_cutting_gives_the_whole_answer(session, x, cuts):
    np.testing.assert_allclose(run_in_chunks(session, {"x": x}, cuts, "time")["y"], by_hand(x), rtol=0, atol=1e-6)


def test_a_step_leaves_its_state_as_it_was(session, x):
    first = session.initial_state(2)
    outputs, second = session.step({"x": x[:, :4]}, first)
    assert set(outputs) == {"y"}
    assert not first.values["sum"].any()
    np.testing.assert_allclose(second.values["sum"], by_hand(x[:, :4])[:, -1], rtol=0, atol=1e-6)
    again, _ = session.step({"x": x[:, :4]}, first)
    np.testing.assert_array_equal(again["y"], outputs["y"])


def test_two_streams_do_not_touch(session, x):
    one, other = session.stream(), session.stream()
    answers = {0: [], 1: []}
    for t in range(9):
        answers[0].append(one.push(x[:1, t : t + 1])["y"])
        answers[1].append(other.push({"x": x[1:, t : t + 1]})["y"])
    for row in (0, 1):
        found = np.concatenate(answers[row], axis=1)
        np.testing.assert_allclose(found, by_hand(x[row : row + 1]), rtol=0, atol=1e-6)


def test_reset_is_a_new_stream(session, x):
    stream = session.stream(2)
    stream.push(x)
    stream.reset()
    np.testing.assert_allclose(stream.push(x)["y"], by_hand(x), rtol=0, atol=1e-6)


def test_a_model_of_any_number_of_frames_has_nothing_to_finish(session, x):
    stream = session.stream(2)
    stream.push(x)
    outputs = stream.finish()
    assert {name: (array.shape, array.dtype) for name, array in outputs.items()} == {
        "y": ((2, 0, HIDDEN), np.dtype(np.float32))
    }
    with pytest.raises(SessionError, match=r"the stream is finished\. Begin another sequence with reset\(\)"):
        stream.push(x)
    stream.reset([0])
    with pytest.raises(SessionError, match="the stream is finished"):
        stream.finish()
    stream.reset()
    np.testing.assert_allclose(stream.push(x)["y"], by_hand(x), rtol=0, atol=1e-6)


def test_a_row_can_be_reset_alone(session, x):
    stream = session.stream(2)
    stream.push(x[:, :5])
    stream.reset([1])
    y = stream.push(x[:, 5:])["y"]
    np.testing.assert_allclose(y[0], by_hand(x)[0, 5:], rtol=0, atol=1e-6)
    np.testing.assert_allclose(y[1], by_hand(x[:, 5:])[1], rtol=0, atol=1e-6)
    with pytest.raises(StateError, match=r"rows \[2\] of a state of 2 streams"):
        stream.reset([2])


def test_a_state_goes_through_bytes(session, x):
    stream = session.stream(2)
    stream.push(x[:, :5])
    raw = stream.state.to_bytes()
    resumed = session.stream(state=State.from_bytes(raw))
    np.testing.assert_allclose(resumed.push(x[:, 5:])["y"], by_hand(x)[:, 5:], rtol=0, atol=1e-6)
    assert stream.state.nbytes() == 2 * HIDDEN * 4


@pytest.mark.parametrize("raw", [b"", b"PK\x03\x04", b"not a state at all"])
def test_other_bytes_are_no_state(raw):
    with pytest.raises(StateError, match="these bytes are no state"):
        State.from_bytes(raw)


def test_a_cut_state_is_refused(session):
    raw = session.initial_state().to_bytes()
    for length in (10, len(raw) // 2, len(raw) - 10):
        with pytest.raises(StateError, match="these bytes are no state"):
            State.from_bytes(raw[:length])


def test_a_state_of_another_bundle_is_refused(session, tmp_path, x):
    with rnnx.load(write(tmp_path / "other.rnnx", name="other"), mode="streaming") as other:
        foreign = other.initial_state(2)
    with pytest.raises(StateError, match=r"another bundle or variant\. Begin with session\.initial_state"):
        session.step({"x": x}, foreign)
    with pytest.raises(StateError, match="another bundle or variant"):
        session.step({"x": x}, State.from_bytes(foreign.to_bytes()))


def test_a_state_of_another_batch_is_refused(session, x):
    with pytest.raises(InputError, match="batch"):
        session.step({"x": x}, session.initial_state(3))


def test_a_learned_state_is_where_streams_begin(tmp_path, x):
    with rnnx.load(write(tmp_path / "learned.rnnx", learned=2.0), mode="streaming") as session:
        np.testing.assert_allclose(session.stream(2).push(x)["y"], by_hand(x, 2.0), rtol=0, atol=1e-6)


def test_a_failed_push_leaves_the_stream_where_it_was(session, x):
    stream = session.stream(2)
    stream.push(x[:, :5])
    with pytest.raises(InputError):
        stream.push(x[:, 5:].astype(np.float64))
    np.testing.assert_allclose(stream.push(x[:, 5:])["y"], by_hand(x)[:, 5:], rtol=0, atol=1e-6)


def test_a_closed_stream_and_a_closed_session_say_so(session, x):
    with session.stream(2) as stream:
        stream.push(x)
    with pytest.raises(SessionError, match=r"the stream is closed\. Open another with session\.stream"):
        stream.push(x)
    open_stream = session.stream(2)
    session.close()
    with pytest.raises(SessionError, match=r"is closed\. Load the bundle again"):
        open_stream.push(x)


@pytest.mark.parametrize("batch", [0, -1, 1.5, True])
def test_a_wrong_number_of_streams_is_refused(session, batch):
    with pytest.raises(InputError, match="must be a whole number of streams from 1"):
        session.initial_state(batch)


def test_an_offline_session_has_no_state(lstm):
    with rnnx.load(lstm, provider="cpu") as offline:
        for use in (offline.initial_state, offline.stream):
            with pytest.raises(VariantError, match=r"runs whole sequences. Load the streaming one: .*mode='streaming'"):
                use()


def test_a_streaming_variant_that_nothing_proves_does_not_verify(tmp_path):
    report = verify(write(tmp_path / "leaky.rnnx", golden=True), provider="cpu")
    assert not report.passed
    assert [row.reason for row in report.rows] == ["'golden.npz' holds no whole rows to push"]


def test_states_are_stacked_and_split(session, x):
    states = [session.initial_state(rows) for rows in (1, 2, 1)]
    for number, state in enumerate(states):
        state.values["sum"][:] = number
    whole = State.stacked(states)
    assert whole.batch == 4
    np.testing.assert_array_equal(whole.values["sum"][:, 0], [0, 1, 1, 2])
    assert State.stacked(states[:1]) is states[0]
    parts = whole.split([1, 2, 1])
    for part, state in zip(parts, states, strict=True):
        np.testing.assert_array_equal(part.values["sum"], state.values["sum"])
        assert part.owner == state.owner
        assert part.values["sum"].base is None, "it would keep the whole alive"


def test_pending_frames_are_stacked_and_split():
    def waiting(rows, value, frames=1):
        return State(
            owner="o",
            values={"h": np.full((rows, 2), value, np.float32)},
            pending={"x": np.full((rows, frames, 3), value, np.float32)},
            waiting=frames,
        )

    parts = State.stacked([waiting(1, 5), waiting(2, 6)]).split([1, 2])
    assert [one.pending["x"][:, 0, 0].tolist() for one in parts] == [[5], [6, 6]]
    assert [one.waiting for one in parts] == [1, 1]
    with pytest.raises(StateError, match=r"in one 1 frames wait, in another 2 frames wait"):
        State.stacked([waiting(1, 5), waiting(1, 5, frames=2)])


def test_wrong_stacking_and_splitting(session):
    state = session.initial_state(2)
    with pytest.raises(StateError, match="no states are given"):
        State.stacked([])
    with pytest.raises(StateError, match="another bundle or variant"):
        State.stacked([state, State(owner="other", values=state.values)])
    with pytest.raises(StateError, match="their arrays do not fit"):
        State.stacked([state, State(owner=state.owner, values={"sum": np.zeros((1, 9), np.float32)})])
    for counts in ([], [1], [1, 2], [3, -1]):
        with pytest.raises(StateError, match="a state of 2 streams cannot be split into"):
            state.split(counts)
