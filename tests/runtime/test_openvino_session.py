"""OpenVINO as a backend: the answers of the CPU's provider or a refusal, streams, and how it is told what to do."""

from __future__ import annotations

import re
import threading

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import rnnx
from rnnx.bundle import GoldenCase, staging, write_manifest
from rnnx.errors import InputError, MissingExtraError, ProviderError, SessionError, ShapeError
from rnnx.manifest import Manifest, Tolerance, Variant
from rnnx.runtime import openvino_session
from rnnx.runtime.openvino_session import is_openvino, openvino_obstacle
from rnnx.runtime.verify import verify
from rnnx.signature import Signature, StateSpec, parse_tensor

pytest.importorskip("openvino", reason="rnnx[openvino] is not installed")


@pytest.fixture
def x():
    return np.random.default_rng(4).normal(size=(3, 6, 3)).astype(np.float32)


@pytest.fixture
def case(weights, x):
    """A golden case of the LSTM without lengths, from NumPy."""
    states = {name: np.full((1, 3, 4), 0.25, np.float32) for name in ("h_0", "c_0")}
    return GoldenCase(inputs={"features": x, **states}, outputs=weights.run(x, None, *states.values()))


@pytest.fixture
def plain(make_lstm, case):
    return make_lstm(lengths=False, golden=[case])


def test_its_names():
    assert is_openvino("openvino")
    assert is_openvino("openvino@GPU")
    assert not any(map(is_openvino, ("openvino@", "openvinos", "cpu", "")))


def test_answers_in_float32(plain, weights, x, case):
    with rnnx.load(plain, provider="openvino") as session, rnnx.load(plain, provider="cpu") as other:
        assert session.provider == str(session.provider_report) == "openvino"
        (options,) = session.opened().get_provider_options().values()
        assert options["INFERENCE_PRECISION_HINT"].to_string() == "f32"
        found, expected = session.run({"features": x}), other.run({"features": x})
        for name, array in weights.run(x).items():
            np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-5)
            np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-6)
            assert found[name].dtype == np.float32
        assert list(session.run(case.inputs, outputs=["c_n"])) == ["c_n"]
        with pytest.raises(ShapeError, match="axis 2 of input 'features' is 4"):
            session.run({"features": np.zeros((1, 2, 4), np.float32)})
        kept = found["y"].copy()
        session.run({"features": -x})
        np.testing.assert_array_equal(found["y"], kept, "later runs leave an answer as it is")
    with pytest.raises(SessionError, match="is closed"):
        session.run({"features": x})
    assert verify(plain, provider="openvino").passed


def test_threads_run_side_by_side(plain, weights):
    rng = np.random.default_rng(0)
    wrong = []
    with rnnx.load(plain, provider="openvino", threads=1) as session:
        (options,) = session.opened().get_provider_options().values()
        assert options["INFERENCE_NUM_THREADS"] == 1
        given = [rng.normal(size=(1, 2 + number, 3)).astype(np.float32) for number in range(4)]

        def ask(one):
            expected = weights.run(one)["y"]
            found = [session.run({"features": one})["y"] for _ in range(20)]
            wrong.extend(y for y in found if not np.allclose(y, expected, rtol=0, atol=1e-5))

        threads = [threading.Thread(target=ask, args=(one,)) for one in given]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    assert not wrong


def test_options_are_its_own(plain, x, weights):
    with rnnx.load(plain, provider="openvino", provider_options={"INFERENCE_NUM_THREADS": 2}) as session:
        (options,) = session.opened().get_provider_options().values()
        assert options["INFERENCE_NUM_THREADS"] == 2
    with pytest.raises(
        ProviderError, match=r"OpenVINO's device 'CPU' has no option 'FOO' that can be set; it has .*INFER"
    ):
        rnnx.load(plain, provider="openvino", provider_options={"FOO": 1})
    with pytest.raises(SessionError, match=r"OpenVINO 20.* does not load variant 'fp32-offline' of .*banana"):
        rnnx.load(plain, provider="openvino", provider_options={"NUM_STREAMS": "banana"})
    with pytest.raises(InputError, match="session_options are ONNX Runtime's, and OpenVINO runs the model by itself"):
        rnnx.load(plain, provider="openvino", session_options=object())
    with pytest.raises(InputError, match=r"with the provider 'openvino'. Name the provider 'cuda'"):
        rnnx.load(plain, provider="openvino", cuda_graph={"batch": 1, "time": 1})


def test_a_device_that_is_not_there(plain):
    message = "provider 'openvino@NPU7' is not usable here: OpenVINO finds no device 'NPU7' here, only CPU"
    with pytest.raises(ProviderError, match=re.escape(message)):
        rnnx.load(plain, provider="openvino@NPU7")
    assert openvino_obstacle("openvino@cpu") is None
    assert openvino_obstacle("openvino@HETERO:CPU") is None
    assert openvino_obstacle("openvino@HETERO:XPU,CPU") is not None


def test_it_is_not_installed(plain, monkeypatch):
    def gone():
        raise MissingExtraError(f"OpenVINO is not installed. Run: {openvino_session.INSTALL}")

    monkeypatch.setattr(openvino_session, "_import", gone)
    message = "provider 'openvino' is not usable here: OpenVINO is not installed. Run: pip install 'rnnx[openvino]', or"
    with pytest.raises(ProviderError, match=re.escape(message)):
        rnnx.load(plain, provider="openvino")


def test_what_cannot_be_imported_names_the_extra(monkeypatch):
    def broken(name):
        raise ImportError(name)

    monkeypatch.setattr(openvino_session.importlib, "import_module", broken)
    monkeypatch.setattr(openvino_session, "version", lambda _: None)
    with pytest.raises(MissingExtraError, match=re.escape("not installed. Run: pip install 'rnnx[openvino]'")):
        openvino_session._import()


def test_wrong_answers_are_refused(make_lstm, case):
    wrong = GoldenCase(inputs=case.inputs, outputs={**case.outputs, "c_n": case.outputs["c_n"] + 1e-3})
    message = (
        r"OpenVINO does not give the answers of variant 'fp32-offline' of .*: output 'c_n' of golden case 0: it is 1"
    )
    with pytest.raises(ProviderError, match=message):
        rnnx.load(make_lstm(lengths=False, golden=[wrong]), provider="openvino")


def test_ragged_lengths_are_right_or_refused(lstm, golden):
    """OpenVINO 2026.4 passes over sequence_lens; no wrong answer may come through."""
    try:
        session = rnnx.load(lstm, provider="openvino")
    except ProviderError as error:
        assert "does not give the answers of" in str(error)  # noqa: PT017  (either is right)
        assert "It knows no lengths in recurrent layers. Take the provider 'cpu'." in str(error)  # noqa: PT017
        return
    with session:
        for one in golden:
            found = session.run(one.inputs)
            for name, expected in one.outputs.items():
                np.testing.assert_allclose(found[name][:, : expected.shape[1]], expected, rtol=0, atol=1e-5)


def test_golden_vectors_that_would_not_tell(make_lstm, golden):
    """Rows that are all of one length prove nothing of lengths."""
    with pytest.raises(ProviderError, match="no golden vectors in which rows of 'lengths' end at different steps"):
        rnnx.load(make_lstm(golden=golden[:1]), provider="openvino")


def test_the_placement_tells_its_layers(plain):
    with rnnx.load(plain, provider="openvino", strict=True) as session:
        placed = session.placement()
        assert {one.provider for one in placed.nodes} == {placed.wanted} == {"OpenVINO CPU"}
        assert placed.elsewhere == ()
        assert any("LSTM" in one.operator or "Sequence" in one.operator for one in placed.nodes), placed.nodes


@pytest.fixture
def summed(tmp_path):
    """A stream: ``y`` is the running sum over time; one output has two names, for ``kept`` goes straight through."""
    face = Signature(
        inputs=tuple(
            map(parse_tensor, ("x: float32[batch, time, 3]", "sum: float32[batch, 3]", "kept: bool[batch, 2]"))
        ),
        outputs=tuple(
            map(
                parse_tensor,
                ("y: float32[batch, time, 3]", "sum_next: float32[batch, 3]", "kept_next: bool[batch, 2]"),
            )
        ),
        states=(StateSpec(name="sum", output="sum_next"), StateSpec(name="kept", output="kept_next")),
    )
    kinds = {"float32": TensorProto.FLOAT, "bool": TensorProto.BOOL}
    sides = [
        [helper.make_tensor_value_info(one.name, kinds[one.dtype], list(one.axes)) for one in side]
        for side in (face.inputs, face.outputs)
    ]
    nodes = [
        helper.make_node("CumSum", ["x", "one"], ["within"]),
        helper.make_node("Unsqueeze", ["sum", "axes"], ["before"]),
        helper.make_node("Add", ["before", "within"], ["y"]),
        helper.make_node("ReduceSum", ["x", "axes"], ["chunk"], keepdims=0),
        helper.make_node("Add", ["sum", "chunk"], ["sum_next"]),
        helper.make_node("Identity", ["kept"], ["kept_next"]),
    ]
    stored = [
        helper.make_tensor("one", TensorProto.INT64, [], [1]),
        helper.make_tensor("axes", TensorProto.INT64, [1], [1]),
    ]
    graph = helper.make_graph(nodes, "graph", *sides, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    variant = Variant(
        precision="fp32",
        mode="streaming",
        file="s.onnx",
        opset=20,
        tolerance=Tolerance(atol=1e-5, floor=1e-3),
        operators={},
        signature=face,
    )
    offline = Signature(inputs=face.inputs[:1], outputs=face.outputs[:1])
    x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    golden = [GoldenCase(inputs={"x": x}, outputs={"y": x.cumsum(1)})]
    from rnnx.bundle import golden_bytes
    from rnnx.manifest import GOLDEN

    with staging(tmp_path / "s.rnnx") as folder:
        (folder / "s.onnx").write_bytes(model.SerializeToString())
        (folder / GOLDEN).write_bytes(golden_bytes(golden))
        write_manifest(folder, Manifest(name="s", signature=offline, variants=(variant,)))
    return tmp_path / "s.rnnx"


def test_streams(summed):
    x = np.random.default_rng(3).normal(size=(2, 9, 3)).astype(np.float32)
    with rnnx.load(summed, mode="streaming", provider="openvino") as session, session.stream(2) as stream:
        assert isinstance(stream._at, rnnx.State), "nothing is bound: plain steps"
        found = [stream.push(x[:, first:last])["y"] for first, last in ((0, 1), (1, 4), (4, 9))]
        np.testing.assert_allclose(np.concatenate(found, 1), x.cumsum(1, dtype=np.float64), rtol=0, atol=1e-5)
        np.testing.assert_allclose(stream.state.values["sum"], x.sum(1, dtype=np.float64), rtol=0, atol=1e-5)
        assert stream.state.values["kept"].dtype == bool
        stream.reset()
        np.testing.assert_allclose(stream.push(x[:, :1])["y"], x[:, :1], rtol=0, atol=1e-6)


def test_an_engine_batches_it(plain, weights, x):
    with rnnx.load(plain, provider="openvino", threads=1) as session, rnnx.Engine(session) as engine:
        answers = [engine.submit({"features": x[row : row + 1]}) for row in range(3)]
        for row, answer in enumerate(answers):
            expected = weights.run(x[row : row + 1])["y"]
            np.testing.assert_allclose(answer.result(10).outputs["y"], expected, rtol=0, atol=1e-5)
