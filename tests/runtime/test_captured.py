"""CUDA graphs: on a pretended GPU that replays what it recorded, on the memory that it recorded it with."""

from __future__ import annotations

import re
import threading
from collections import Counter

import numpy as np
import pytest

import rnnx
from rnnx.errors import InputError, ProviderError, SessionError, ShapeError, VariantError
from rnnx.manifest import Tolerance, Variant
from rnnx.runtime import opening
from rnnx.runtime.binding import binding_plan
from rnnx.runtime.bound import Binder
from rnnx.runtime.captured import CapturedRun, check_capture, refuse_by_hand
from rnnx.runtime.choice import ProviderChoice
from rnnx.runtime.inputs import Feeder
from rnnx.runtime.ort import import_ort
from rnnx.runtime.sizes import narrowed, one_size
from rnnx.runtime.state import State
from rnnx.signature import LengthsSpec, Signature, StateSpec, parse_tensor

GRAPHS = {"CUDAExecutionProvider": {"device_id": "2", "enable_cuda_graph": "1"}}


class Value:
    """An array on a pretended device."""

    def __init__(self, array, kind, number):
        self.array, self.place = np.array(array), (kind, number)

    @classmethod
    def ortvalue_from_numpy(cls, array, kind, number):
        return cls(array, kind, number)

    def numpy(self):
        return self.array.copy()

    def update_inplace(self, array):
        assert array.flags.c_contiguous
        assert (array.dtype, array.shape) == (self.array.dtype, self.array.shape)
        self.array[...] = array


class Binding:
    def __init__(self):
        self.inputs, self.outputs = {}, {}

    def bind_ortvalue_input(self, name, value):
        self.inputs[name] = value

    def bind_ortvalue_output(self, name, value):
        self.outputs[name] = value

    def synchronize_inputs(self):
        pass

    def synchronize_outputs(self):
        pass


class Options(dict):
    def add_run_config_entry(self, key, value):
        self[key] = value


class Gpu:
    """A session that adds up ``x`` over time. It records each ``gpu_graph_id`` once, and then looks at no binding."""

    OrtValue, RunOptions = Value, Options

    def __init__(self):
        self.recorded, self.released, self.runs, self.fails = {}, [], Counter(), None

    def opened(self):
        return self

    def failure(self, feed, error):
        return SessionError(f"{sorted(feed)}: {error}")

    def io_binding(self):
        return Binding()

    def release_captured_graph(self, number):
        del self.recorded[str(number)]
        self.released.append(number)

    def run_with_iobinding(self, binding, options):
        number = options["gpu_graph_id"]
        assert int(number) > 0, "0 is ONNX Runtime's own, and -1 records nothing"
        # While it records it may run several times.
        for _ in range(1 if number in self.recorded else 2):
            inputs, outputs = self.recorded.setdefault(number, (dict(binding.inputs), dict(binding.outputs)))
            assert {value.place for value in (*inputs.values(), *outputs.values())} == {("cuda", 2)}
            if self.fails:
                raise self.fails
            x, total = inputs["x"].array, inputs["s"].array
            outputs["y"].array[...] = total[:, :1] + x.cumsum(1)
            outputs["t"].array[...] = total + x.sum(1, keepdims=True)
        self.runs[number] += 1


FACE = Signature(
    inputs=(parse_tensor("x: float32[batch, time]"), parse_tensor("s: float32[batch, 4]")),
    outputs=(parse_tensor("y: float32[batch, time]"), parse_tensor("t: float32[batch, 4]")),
    states=(StateSpec(name="s", output="t"),),
)
SIZES = one_size(FACE, {"batch": 2, "time": 3})
FIXED = narrowed(FACE, SIZES)


def state(value):
    return State(owner="me", values={"s": np.full((2, 4), value, np.float32)})


@pytest.fixture
def gpu():
    return Gpu()


@pytest.fixture
def binder(gpu):
    return Binder(gpu, binding_plan(FIXED, "cuda", GRAPHS), Feeder(FIXED))


def test_the_plan_has_buffers_for_inputs_too():
    plan = binding_plan(FIXED, "cuda", GRAPHS)
    assert [(name, axes) for name, _, axes in plan.inputs] == [("x", (None, 3))]
    assert (plan.batch, plan.captured, plan.device_id) == (2, True, 2)
    assert binding_plan(FACE, "cuda", GRAPHS) is None, "time has several sizes"
    trt = {"TensorrtExecutionProvider": {"trt_cuda_graph_enable": "True"}}
    assert binding_plan(FIXED, "tensorrt", trt) is None, "it has one recording, and two directions need two"


def test_streams_replay_their_own_recordings(gpu, binder):
    rng = np.random.default_rng(1)
    chunks = rng.normal(size=(2, 7, 2, 3)).astype(np.float32)  # (stream, chunk, batch, time)
    streams = [binder.bind(gpu, state(value)) for value in (0, 100)]
    # They take turns, so that whatever one recording shared with another would show.
    for number in range(7):
        for which, stream in enumerate(streams):
            y = stream.push({"x": chunks[which, number]})["y"]
            before = which * 100 + chunks[which, :number].sum((0, 2), dtype=np.float64)[:, None]
            expected = before + chunks[which, number].cumsum(1, dtype=np.float64)
            np.testing.assert_allclose(y, expected, rtol=0, atol=1e-4)
    assert len(gpu.recorded) == 4, "two directions of two streams"
    assert sorted(gpu.runs.values()) == [3, 3, 4, 4]
    for which, stream in enumerate(streams):
        expected = which * 100 + chunks[which].sum((0, 2), dtype=np.float64)[:, None].repeat(4, 1)
        np.testing.assert_allclose(stream.read().values["s"], expected, rtol=0, atol=1e-4)


def test_what_was_given_stays_as_it_was(gpu, binder):
    stream = binder.bind(gpu, state(0))
    first = stream.push({"x": np.ones((2, 3), np.float32)})["y"]
    stream.push({"x": np.full((2, 3), 9, np.float32)})
    assert first.tolist() == [[1, 2, 3]] * 2
    turned = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    stream.write(state(0))
    assert stream.push({"x": turned})["y"].tolist() == [[0, 1, 3], [3, 7, 12]]


def test_a_replay_that_fails_leaves_the_state(gpu, binder):
    stream = binder.bind(gpu, state(5))
    stream.push({"x": np.zeros((2, 3), np.float32)})
    gpu.fails = RuntimeError("out of memory")
    with pytest.raises(SessionError, match="out of memory"):
        stream.push({"x": np.ones((2, 3), np.float32)})
    gpu.fails = None
    assert stream.read().values["s"].tolist() == [[5] * 4] * 2
    assert stream.push({"x": np.ones((2, 3), np.float32)})["y"].tolist() == [[6, 7, 8]] * 2


def test_recordings_are_forgotten_with_their_stream(gpu, binder):
    stream, other = (binder.bind(gpu, state(0)) for _ in range(2))
    for one in (stream, other, stream, other):
        one.push({"x": np.zeros((2, 3), np.float32)})
    stream.release()
    assert len(gpu.released) == 2
    assert len(gpu.recorded) == 2
    other.push({"x": np.zeros((2, 3), np.float32)})
    assert binder.bind(gpu, state(0))._graphs[0][0] not in gpu.released, "no number is given twice"


def test_another_number_of_streams_takes_plain_steps(gpu, binder):
    assert binder.bind(gpu, State(owner="me", values={"s": np.zeros((3, 4), np.float32)})) is None


def test_whole_runs(gpu):
    run = CapturedRun(gpu, gpu, FIXED, SIZES, device=("cuda", 2))
    assert gpu.runs == {"1": 1}, "recorded before the first request"
    answers = []
    for value in (1, 2):
        feed = {"x": np.full((2, 3), value, np.float32), "s": np.full((2, 4), 10 * value, np.float32)}
        answers.append(run(["t", "y"], feed))
    assert [one.tolist() for one in answers[0]] == [[[13] * 4] * 2, [[11, 12, 13]] * 2]
    assert [one.tolist() for one in answers[1]] == [[[26] * 4] * 2, [[22, 24, 26]] * 2]
    assert gpu.runs == {"1": 3}


def test_threads_take_turns(gpu):
    run = CapturedRun(gpu, gpu, FIXED, SIZES, device=("cuda", 2))
    wrong = []

    def ask(value):
        for _ in range(50):
            (y,) = run(["y"], {"x": np.full((2, 3), value, np.float32), "s": np.zeros((2, 4), np.float32)})
            if y.tolist() != [[value, 2 * value, 3 * value]] * 2:
                wrong.append(y)

    threads = [threading.Thread(target=ask, args=(value,)) for value in (1, 2, 3)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert not wrong


def test_the_mechanism_on_onnx_runtime_itself(lstm, weights):
    """Fixed buffers, run options and copies, on the CPU, which records nothing."""
    bundle = rnnx.Bundle.open(lstm)
    signature = bundle.manifest.signature
    sizes = one_size(signature, {"batch": 2, "time": 5})
    ort = import_ort()
    session = ort.InferenceSession(
        bundle.read("fp32-offline.onnx"), ort.SessionOptions(), providers=["CPUExecutionProvider"], enable_fallback=0
    )
    run = CapturedRun(ort, session, signature, sizes, device=("cpu", 0))
    rng = np.random.default_rng(0)
    given = [rng.normal(size=(2, 5, 3)).astype(np.float32) for _ in range(2)]
    zeros = np.zeros((1, 2, 4), np.float32)
    answers = [
        run(["c_n", "y"], {"features": x, "lengths": np.array([5, 2]), "h_0": zeros, "c_0": zeros}) for x in given
    ]
    for x, (c_n, y) in zip(given, answers, strict=True):
        expected = weights.run(x, [5, 2])
        np.testing.assert_allclose(y, expected["y"], rtol=0, atol=1e-5)
        np.testing.assert_allclose(c_n, expected["c_n"], rtol=0, atol=1e-5)


def variant(**operators):
    return Variant(
        precision="fp32",
        mode="offline",
        file="x.onnx",
        opset=20,
        tolerance=Tolerance(atol=1e-5, floor=1e-3),
        operators=operators,
    )


@pytest.mark.parametrize(
    ("operators", "message"),
    [
        ({"Scan": 2}, "variant 'fp32-offline' has 2 Scan, and a CUDA graph holds no If, Loop or Scan"),
        ({"If": 1, "Loop": 3}, "has 1 If and 3 Loop, and a CUDA graph holds no"),
        ({"LSTM": 1}, "takes the lengths 'lengths', which CUDA's LSTM, GRU and RNN read in the host's memory"),
        ({"GRU": 1}, "takes the lengths 'lengths'"),
    ],
)
def test_graphs_that_cannot_be_recorded(operators, message):
    face = Signature(
        inputs=(parse_tensor("x: float32[batch, time]"), parse_tensor("lengths: int64[batch]")),
        lengths=(LengthsSpec(name="lengths", axis="time"),),
    )
    with pytest.raises(VariantError, match=message):
        check_capture(variant(**operators), face, "cuda")


def test_graphs_that_can_be_recorded():
    check_capture(variant(LSTM=1, MatMul=1), FACE, "cuda")
    check_capture(variant(MatMul=1), FACE, "tensorrt")
    for provider in ("cpu", "auto", "openvino", "plugin:x"):
        with pytest.raises(InputError, match=f"with the provider '{provider}'. Name the provider 'cuda' or 'tensorrt'"):
            check_capture(variant(MatMul=1), FACE, provider)


@pytest.mark.parametrize(
    ("provider", "option"), [("cuda", {"enable_cuda_graph": 1}), ("tensorrt", {"trt_cuda_graph_enable": True})]
)
def test_no_graph_by_hand(provider, option, lstm):
    with pytest.raises(
        ProviderError, match=r"needs buffers that stay and one size of each axis. Give the sizes instead"
    ):
        rnnx.load(lstm, provider=provider, provider_options=option)
    refuse_by_hand(provider, dict.fromkeys(option, "0"))
    refuse_by_hand("cpu", option)


def test_an_output_of_a_size_that_is_not_known(gpu):
    face = Signature(inputs=FACE.inputs, outputs=(parse_tensor("y: float32[found]"),))
    with pytest.raises(VariantError, match=re.escape("the size of 'y: float32[found]' does not follow")):
        CapturedRun(gpu, gpu, face, SIZES, device=("cuda", 2))


@pytest.fixture
def pretended(monkeypatch):
    """CUDA in name: the CPU runs what it is asked for, from buffers on the CPU."""
    asked = []

    def open_session(ort, model, *, provider, options, provider_options):
        asked.append(dict(provider_options))
        real = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"], enable_fallback=0)
        return real, ProviderChoice(name=provider, requested=provider)

    monkeypatch.setattr(opening, "open_session", open_session)
    monkeypatch.setattr("rnnx.runtime.loading.DEVICES", {"cuda": "cpu"})
    return asked


def test_load_records_one_size(pretended, make_lstm, weights):
    path = make_lstm(lengths=False)
    with rnnx.load(path, provider="cuda", cuda_graph={"batch": 2, "time": 4}) as session:
        assert pretended == [{"enable_cuda_graph": "1"}]
        x = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
        found = session.run({"features": x})
        for name, expected in weights.run(x).items():
            np.testing.assert_allclose(found[name], expected, rtol=0, atol=1e-5)
        with pytest.raises(
            ShapeError, match=r"is 5, shape \(2, 5, 3\); allowed is 4 <= time <= 4. .*for 'time=4' alone"
        ):
            session.run({"features": np.zeros((2, 5, 3), np.float32)})
    with pytest.raises(SessionError, match="is closed"):
        session.run({"features": x})
    with pytest.raises(InputError, match="ranges is given with the provider 'cuda'"):
        rnnx.load(path, provider="cuda", cuda_graph={"batch": 2, "time": 4}, ranges={"time": 4})
    with pytest.raises(VariantError, match="takes the lengths 'lengths'"):
        rnnx.load(make_lstm("l.rnnx"), provider="cuda", cuda_graph={"batch": 2, "time": 4})


def test_what_onnx_runtime_cannot_record(pretended, make_lstm, monkeypatch):
    def broken(*_):
        raise RuntimeError("2 Memcpy nodes")

    monkeypatch.setattr(CapturedRun, "_replay", broken)
    with pytest.raises(
        SessionError, match=r"cannot record variant 'fp32-offline' of .* as a CUDA graph: 2 Memcpy nodes"
    ):
        rnnx.load(make_lstm(lengths=False), provider="cuda", cuda_graph={"batch": 1, "time": 1})
