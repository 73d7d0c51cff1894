"""Streams whose state lies in bound buffers: the answers of plain steps, in the same memory for ever."""

from __future__ import annotations

import gc
import re
import threading
import tracemalloc
import weakref

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import rnnx
from rnnx.bundle import staging, write_manifest
from rnnx.errors import InputError, SessionError, StateError
from rnnx.manifest import Manifest, Tolerance, Variant
from rnnx.runtime.binding import binding_plan
from rnnx.runtime.bound import Binder, BoundState
from rnnx.runtime.inputs import Feeder
from rnnx.runtime.state import State
from rnnx.signature import Signature, StateSpec, parse_tensor

ELEMENTS = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
}


def signature(inputs, outputs, states):
    """Signature of these declarations; ``states`` maps inputs to outputs."""
    return Signature(
        inputs=tuple(map(parse_tensor, inputs)),
        outputs=tuple(map(parse_tensor, outputs)),
        states=tuple(StateSpec(name=name, output=output) for name, output in states.items()),
    )


def opened(path, nodes, face, constants=()):
    """A session of a streaming variant with this graph and face."""
    declared = [
        [helper.make_tensor_value_info(one.name, ELEMENTS[one.dtype], list(one.axes)) for one in side]
        for side in (face.inputs, face.outputs)
    ]
    stored = [numpy_helper.from_array(value, name) for name, value in dict(constants).items()]
    graph = helper.make_graph(nodes, "graph", *declared, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    variant = Variant(
        precision="fp32",
        mode="streaming",
        file="s.onnx",
        opset=20,
        tolerance=Tolerance(atol=1e-5, floor=1e-3),
        operators={},
        signature=face,
    )
    states = face.state_names
    offline = Signature(inputs=tuple(one for one in face.inputs if one.name not in states), outputs=face.outputs[:1])
    with staging(path) as folder:
        (folder / "s.onnx").write_bytes(model.SerializeToString())
        write_manifest(folder, Manifest(name=path.stem, signature=offline, variants=(variant,)))
    return rnnx.load(path, mode="streaming", provider="cpu", threads=1)


def summed(path, hidden=3, seen="float32"):
    """``y`` is the running sum of ``x`` over time; ``last`` the sum after the chunk; ``seen`` says that one has been.

    ``kept`` is a state that goes through unchanged, in another dtype.
    """
    face = signature(
        [f"x: float32[batch, time, {hidden}]", f"sum: float32[batch, {hidden}]", f"kept: {seen}[batch, 2]"],
        [
            f"y: float32[batch, time, {hidden}]",
            f"last: float32[batch, {hidden}]",
            f"sum_next: float32[batch, {hidden}]",
            f"kept_next: {seen}[batch, 2]",
        ],
        {"sum": "sum_next", "kept": "kept_next"},
    )
    nodes = [
        helper.make_node("CumSum", ["x", "one"], ["within"]),
        helper.make_node("Unsqueeze", ["sum", "one"], ["before"]),
        helper.make_node("Add", ["before", "within"], ["y"]),
        helper.make_node("ReduceSum", ["x", "axes"], ["chunk"], keepdims=0),
        helper.make_node("Add", ["sum", "chunk"], ["sum_next"]),
        helper.make_node("Identity", ["sum_next"], ["last"]),
        helper.make_node("Identity", ["kept"], ["kept_next"]),
    ]
    return opened(path, nodes, face, {"one": np.array(1, np.int64).reshape(()), "axes": np.array([1], np.int64)})


@pytest.fixture
def session(tmp_path):
    with summed(tmp_path / "summed.rnnx") as session:
        yield session


@pytest.fixture
def x():
    return np.random.default_rng(3).standard_normal((2, 12, 3)).astype(np.float32)


def addresses(stream):
    """Where the two sets of state buffers lie."""
    return [[value.data_ptr() for value in side.values()] for side in stream._at._values]


def test_chunks_of_changing_length_give_the_whole_answer(session, x):
    stream = session.stream(2)
    assert isinstance(stream._at, BoundState), "this model's state is bound"
    whole = np.cumsum(x.astype(np.float64), axis=1)
    pushed = [(first, last, stream.push(x[:, first:last])) for first, last in ((0, 1), (1, 2), (2, 7), (7, 9), (9, 12))]
    # All pushes came first: what they gave must not have been written over by the later ones.
    for first, last, outputs in pushed:
        assert list(outputs) == ["y", "last"]
        np.testing.assert_allclose(outputs["y"], whole[:, first:last], rtol=0, atol=1e-5)
        np.testing.assert_allclose(outputs["last"], whole[:, last - 1], rtol=0, atol=1e-5)
    np.testing.assert_allclose(stream.state.values["sum"], whole[:, -1], rtol=0, atol=1e-5)


def test_pushes_and_steps_agree_bit_by_bit(session, x):
    stream, state = session.stream(2), session.initial_state(2)
    for t in range(12):
        expected, state = session.step({"x": x[:, t : t + 1]}, state)
        found = stream.push({"x": x[:, t : t + 1]})
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array)
    for name, array in state.values.items():
        np.testing.assert_array_equal(stream.state.values[name], array)


def test_a_chunk_need_not_be_contiguous(session, x):
    wide = np.asfortranarray(np.repeat(x, 2, axis=2))
    y = session.stream(2).push(wide[:, ::-1, ::2])["y"]
    np.testing.assert_allclose(y, np.cumsum(x[:, ::-1].astype(np.float64), axis=1), rtol=0, atol=1e-5)


def test_a_hundred_pushes_use_the_same_two_sets_of_buffers(session, x):
    stream = session.stream(2)
    first, second = addresses(stream)
    assert not set(first) & set(second)
    for number in range(100):
        side, binding = stream._at._side, stream._at._bindings[stream._at._side]
        assert side == number % 2
        stream.push(x[:, :1])
        assert addresses(stream) == [first, second]
        values = binding.get_outputs_as_ortvaluevector()
        written = [values[len(values) - number].data_ptr() for number in (2, 1)]
        assert written == (second, first)[side], "ONNX Runtime wrote the state into the other set"
    np.testing.assert_allclose(stream.state.values["sum"], 100 * x[:, 0], rtol=1e-5, atol=1e-5)


def test_a_push_allocates_no_state(tmp_path):
    hidden = 500_000
    face = signature(
        ["x: float32[batch, time]", f"sum: float32[batch, {hidden}]"],
        ["y: float32[batch, time]", f"sum_next: float32[batch, {hidden}]"],
        {"sum": "sum_next"},
    )
    nodes = [
        helper.make_node("ReduceSum", ["x", "axes"], ["chunk"], keepdims=1),
        helper.make_node("Add", ["sum", "chunk"], ["sum_next"]),
        helper.make_node("Identity", ["x"], ["y"]),
    ]
    with opened(tmp_path / "large.rnnx", nodes, face, {"axes": np.array([1], np.int64)}) as session:
        stream, x = session.stream(), np.ones((1, 1), np.float32)
        stream.push(x)
        tracemalloc.start()
        try:
            for _ in range(10):
                stream.push(x)
            pushing = tracemalloc.get_traced_memory()[1]
            tracemalloc.reset_peak()
            state = stream.state
            reading = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert reading >= state.nbytes() == hidden * 4, "what is measured here sees a copy of the state"
    assert pushing < state.nbytes() / 100
    assert state.values["sum"][0, [0, -1]].tolist() == [11, 11]


def test_the_state_of_a_stream_is_a_value(session, x):
    stream = session.stream(2)
    stream.push(x[:, :4])
    middle = stream.state
    kept = {name: array.copy() for name, array in middle.values.items()}
    first = stream.push(x[:, 4:])["y"]
    for name, array in kept.items():
        np.testing.assert_array_equal(middle.values[name], array)
    stream.state = middle
    middle.values["sum"][:] = np.nan
    np.testing.assert_array_equal(stream.push(x[:, 4:])["y"], first)
    assert addresses(stream)


def test_a_state_of_another_batch_can_be_assigned(session, x):
    stream = session.stream(1)
    stream.push(x[:1])
    stream.state = session.initial_state(2)
    np.testing.assert_allclose(stream.push(x)["y"], np.cumsum(x.astype(np.float64), axis=1), rtol=0, atol=1e-5)
    stream.reset([0])
    assert not stream.state.values["sum"][0].any()
    assert stream.state.values["sum"][1].any()


def test_a_foreign_or_broken_state_is_refused_when_it_is_used(session, x):
    stream = session.stream(2)
    good = session.initial_state(2)
    stream.state = State(owner="0" * 64 + " fp32-streaming", values=good.values)
    with pytest.raises(StateError, match="another bundle or variant"):
        stream.push(x)
    stream.state = State(owner=good.owner, values={**good.values, "sum": np.zeros((2, 3))})
    with pytest.raises(InputError, match=r"input 'sum' has dtype float64; it must be float32"):
        stream.push(x)
    stream.state = State(owner=good.owner, values={**good.values, "sum": np.zeros((3, 3), np.float32)})
    with pytest.raises(InputError, match="'batch'"):
        stream.push(x)
    stream.state = good
    np.testing.assert_allclose(stream.push(x)["last"], x.sum(1), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "inputs",
    [
        {"x": np.zeros((2, 1, 3))},
        {"x": np.zeros((2, 3), np.float32)},
        {"x": np.zeros((2, 1, 4), np.float32)},
        {"x": np.zeros((3, 1, 3), np.float32)},
        {"x": np.zeros((2, 0, 3), np.float32)},
        {"x": np.zeros((2, 1, 3), np.float32), "z": np.zeros(1)},
        {"X": np.zeros((2, 1, 3), np.float32)},
        {},
    ],
    ids=["dtype", "rank", "features", "batch", "empty", "unknown", "misspelt", "missing"],
)
def test_what_is_wrong_with_inputs_is_said_as_a_step_says_it(session, x, inputs):
    stream = session.stream(2)
    stream.push(x[:, :5])
    with pytest.raises(InputError) as expected:
        session.step(inputs, stream.state)
    with pytest.raises(type(expected.value), match=f"^{re.escape(str(expected.value))}$"):
        stream.push(inputs)
    np.testing.assert_allclose(stream.push(x[:, 5:])["last"], x.sum(1), rtol=0, atol=1e-5)


def test_a_state_cannot_be_pushed(session, x):
    with pytest.raises(InputError, match="input 'sum' is not known"):
        session.stream(2).push({"x": x, "sum": np.zeros((2, 3), np.float32)})


def test_a_failed_run_leaves_the_state_as_it_was(tmp_path):
    face = signature(
        ["x: int64[batch, time]", "sum: int64[batch, 1]"],
        ["y: float32[batch, time]", "sum_next: int64[batch, 1]"],
        {"sum": "sum_next"},
    )
    nodes = [
        helper.make_node("ReduceSum", ["x", "axes"], ["chunk"], keepdims=1),
        helper.make_node("Add", ["sum", "chunk"], ["sum_next"]),
        helper.make_node("Gather", ["table", "x"], ["y"]),
    ]
    constants = {"axes": np.array([1], np.int64), "table": np.arange(5, dtype=np.float32)}
    with opened(tmp_path / "gather.rnnx", nodes, face, constants) as session:
        stream = session.stream()
        first = stream.push(np.array([[1, 2]]))["y"]
        for _ in range(3):
            with pytest.raises(
                SessionError, match=r"ONNX Runtime failed in variant .* with x int64\[1, 2\]: .*indices"
            ):
                stream.push(np.array([[4, 99]]))
            assert stream.state.values["sum"].tolist() == [[3]]
        assert stream.push(np.array([[4, 4, 1]]))["y"].tolist() == [[4, 4, 1]]
        assert stream.state.values["sum"].tolist() == [[12]]
        assert first.tolist() == [[1, 2]]


@pytest.mark.parametrize("dtype", ["float16", "int64", "bool"])
def test_states_of_other_dtypes_go_through(tmp_path, x, dtype):
    with summed(tmp_path / "other.rnnx", seen=dtype) as session:
        stream = session.stream(2)
        state = stream.state
        assert isinstance(stream._at, BoundState)
        state.values["kept"][:] = [[0, 1], [1, 0]]
        stream.state = state
        for t in range(3):
            stream.push(x[:, t : t + 1])
        assert stream.state.values["kept"].dtype == np.dtype(dtype)
        assert stream.state.values["kept"].tolist() == [[0, 1], [1, 0]]


def test_streams_in_threads_do_not_touch(session):
    xs = np.random.default_rng(8).standard_normal((4, 1, 200, 3)).astype(np.float32)
    streams, answers = [session.stream() for _ in xs], [[] for _ in xs]
    places = [place for stream in streams for side in addresses(stream) for place in side]
    assert len(set(places)) == len(places)

    def run(number):
        answers[number] += [streams[number].push(xs[number][:, t : t + 1])["last"] for t in range(200)]

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(xs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, x in enumerate(xs):
        np.testing.assert_allclose(np.stack(answers[number], 1), np.cumsum(x.astype(np.float64), 1), rtol=0, atol=1e-4)


def test_a_closed_session_is_freed_though_streams_are_held(session, x):
    stream = session.stream(2)
    stream.push(x)
    # Bindings hold the session of ONNX Runtime's own extension, which has the weights.
    inner = weakref.ref(session.opened()._sess)
    session.close()
    gc.collect()
    assert inner() is None
    np.testing.assert_allclose(stream.state.values["sum"], x.sum(1), rtol=0, atol=1e-5)
    with pytest.raises(SessionError, match=r"is closed\. Load the bundle again"):
        stream.push(x)
    stream.reset()
    assert not stream.state.values["sum"].any()


def test_a_state_that_grows_takes_plain_steps(tmp_path):
    face = signature(
        ["x: float32[batch, time, 2]", "cache: float32[batch, past, 2]"],
        ["y: float32[batch, 2]", "cache_next: float32[batch, whole, 2]"],
        {"cache": "cache_next"},
    )
    nodes = [
        helper.make_node("Concat", ["cache", "x"], ["cache_next"], axis=1),
        helper.make_node("ReduceSum", ["cache_next", "axes"], ["y"], keepdims=0),
    ]
    with opened(tmp_path / "cache.rnnx", nodes, face, {"axes": np.array([1], np.int64)}) as session:
        owner = session.initial_state().owner
        stream = session.stream(state=State(owner=owner, values={"cache": np.ones((1, 1, 2), np.float32)}))
        assert isinstance(stream._at, State)
        assert stream.push(np.ones((1, 2, 2), np.float32))["y"].tolist() == [[3, 3]]
        assert stream.push(np.ones((1, 1, 2), np.float32))["y"].tolist() == [[4, 4]]
        assert stream.state.values["cache"].shape == (1, 4, 2)


class DeviceValue:
    """An OrtValue of a GPU, as far as bound states use it: a copy of what it is made from."""

    def __init__(self, array, device_type, device_id):
        self.place = (device_type, device_id)
        self.array = array if device_type == "cpu" else array.copy()
        self.travelled = 0

    @classmethod
    def ortvalue_from_numpy(cls, array, /, device_type, device_id):
        return cls(array, device_type, device_id)

    def numpy(self):
        self.travelled += 1
        return self.array if self.place[0] == "cpu" else self.array.copy()

    def update_inplace(self, array):
        self.travelled += 1
        self.array[...] = array


class DeviceBinding:
    """An IOBinding that notes what is bound and in which order things happen."""

    def __init__(self, log):
        self.inputs, self.outputs, self.log = {}, {}, log

    def bind_cpu_input(self, name, array):
        self.inputs[name] = DeviceValue(array, "cuda", 3)

    def bind_ortvalue_input(self, name, value):
        self.inputs[name] = value

    def bind_output(self, name, device_type):
        self.outputs[name] = device_type

    def bind_ortvalue_output(self, name, value):
        self.outputs[name] = value

    def synchronize_inputs(self):
        self.log.append("inputs")

    def synchronize_outputs(self):
        self.log.append("outputs")

    def get_outputs_as_ortvaluevector(self):
        return list(self.outputs.values())


class DeviceSession:
    """A session on a GPU that adds up ``x`` over time, and what a bound state needs of one of rnnx."""

    def __init__(self):
        self.log, self.meanwhile = [], None

    def opened(self):
        return self

    def failure(self, feed, error):
        return SessionError(f"{sorted(feed)}: {error}")

    def io_binding(self):
        return DeviceBinding(self.log)

    def run_with_iobinding(self, binding):
        self.log.append("run")
        x, total = binding.inputs["x"], binding.inputs["s"]
        assert x.place == total.place == binding.outputs["t"].place == ("cuda", 3)
        assert binding.outputs["y"] == "cpu"
        binding.outputs["t"].array[...] = total.array + x.array.sum(1, keepdims=True)
        binding.outputs["y"] = DeviceValue(x.array.cumsum(1), "cpu", 0)
        if self.meanwhile:
            self.meanwhile()


@pytest.fixture
def on_gpu():
    """A state on a pretended GPU, its session, and the values in both of its buffers."""
    face = signature(
        ["x: float32[batch, time]", "s: float32[batch, 4]"],
        ["y: float32[batch, time]", "t: float32[batch, 4]"],
        {"s": "t"},
    )
    ort = type("FakeOrt", (), {"OrtValue": DeviceValue})
    made = binding_plan(face, "cuda", {"CUDAExecutionProvider": {"device_id": "3"}})
    session = DeviceSession()
    state = State(owner="me", values={"s": np.full((1, 4), 10, np.float32)})
    held = Binder(ort, made, Feeder(face)).bind(session, state)
    return held, session, [side["s"] for side in held._values]


def test_on_a_gpu_the_state_stays_there(on_gpu):
    held, session, values = on_gpu
    assert [value.place for value in values] == [("cuda", 3)] * 2
    for steps in (1, 2, 3):
        y = held.push({"x": np.ones((1, steps), np.float32)})["y"]
        assert y.tolist() == [list(range(1, steps + 1))]
    assert session.log == ["inputs", "run", "outputs"] * 3
    assert [value.travelled for value in values] == [0, 0], "no state came to the host"
    state = held.read()
    assert state.values["s"].tolist() == [[16] * 4]
    held.write(State(owner="me", values={"s": np.zeros((1, 4), np.float32)}))
    held.push({"x": np.ones((1, 1), np.float32)})
    assert held.read().values["s"].tolist() == [[1] * 4]
    assert state.values["s"].tolist() == [[16] * 4]


def test_a_run_that_fails_late_does_not_count(on_gpu):
    held, session, _ = on_gpu

    def fail():
        raise RuntimeError("out of memory")

    session.meanwhile = fail
    with pytest.raises(SessionError, match=r"\['x'\]: out of memory"):
        held.push({"x": np.ones((1, 1), np.float32)})
    session.meanwhile = None
    assert held.read().values["s"].tolist() == [[10] * 4]
    assert held.push({"x": np.ones((1, 2), np.float32)})["y"].tolist() == [[1, 2]]


def test_two_pushes_at_once_are_refused(on_gpu):
    held, session, _ = on_gpu
    session.meanwhile = lambda: held.push({"x": np.ones((1, 1), np.float32)})
    with pytest.raises(SessionError, match="another thread is pushing to this stream"):
        held.push({"x": np.ones((1, 1), np.float32)})
    session.meanwhile = None
    held.push({"x": np.ones((1, 1), np.float32)})
    assert held.read().values["s"].tolist() == [[11] * 4]
