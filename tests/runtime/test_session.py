"""Loading and running: right answers, against NumPy; clear errors; threads."""

import gc
import subprocess
import sys
import threading
import weakref

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rnnx
from rnnx.errors import (
    AlteredFileError,
    InputError,
    ManifestError,
    MissingFileError,
    ProviderError,
    SessionError,
    VariantError,
)
from rnnx.runtime import ort
from rnnx.signature import AxisRange

ATOL = 1e-6


def features(batch, time, seed=0):
    return np.random.default_rng(seed).normal(size=(batch, time, 3)).astype(np.float32)


def assert_close(found, expected):
    assert found.keys() == expected.keys()
    for name, reference in expected.items():
        assert found[name].dtype == reference.dtype
        np.testing.assert_allclose(found[name], reference, rtol=0, atol=ATOL)


@pytest.mark.parametrize(("batch", "time"), [(1, 1), (2, 5), (5, 33)])
@pytest.mark.parametrize("states", [False, True])
@pytest.mark.parametrize("ragged", [False, True])
def test_answers_are_numpys(lstm, weights, batch, time, states, ragged):  # noqa: PLR0917  (pytest passes them by name)
    x = features(batch, time)
    h_0, c_0 = (features(batch, 4, seed)[None, :, :, 0] for seed in (1, 2)) if states else (None, None)
    lengths = [1 + (5 * row) % time for row in range(batch)] if ragged else None
    given = {"features": x} | ({"h_0": h_0, "c_0": c_0} if states else {})
    with rnnx.load(lstm, provider="cpu") as session:
        assert_close(session.run(given, lengths), weights.run(x, lengths, h_0, c_0))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(1, 12), min_size=1, max_size=6), seed=st.integers(0, 2**16))
def test_a_ragged_batch_is_its_rows_alone(session, sizes, seed):
    rows = [features(1, size, seed + row)[0] for row, size in enumerate(sizes)]
    together = session.run({"features": rows})
    padded = np.full((len(rows), max(sizes), 3), 7.0, np.float32)
    for row, one in enumerate(rows):
        padded[row, : len(one)] = one
    # What stands in the padding must not matter.
    assert_close(session.run({"features": padded}, sizes), together)
    for row, one in enumerate(rows):
        alone = session.run({"features": one[None]})
        np.testing.assert_allclose(together["y"][row, : len(one)], alone["y"][0], rtol=0, atol=ATOL)
        assert not together["y"][row, len(one) :].any()
        for name in ("h_n", "c_n"):
            np.testing.assert_allclose(together[name][:, row], alone[name][:, 0], rtol=0, atol=ATOL)


@pytest.fixture
def session(lstm):
    with rnnx.load(lstm, provider="cpu", threads=1) as session:
        yield session


def test_what_a_session_tells(lstm, session):
    assert session.provider == "cpu"
    assert session.provider_report.requested == "cpu"
    assert session.bundle.path == lstm
    assert session.variant.key == "fp32-offline"
    assert session.signature is session.bundle.manifest.signature, "no copy where all sizes are taken"


def test_outputs_are_chosen(session, weights):
    x = features(2, 3)
    found = session.run({"features": x}, outputs=["c_n", "y"])
    assert list(found) == ["c_n", "y"]
    assert_close(found, {name: weights.run(x)[name] for name in ("c_n", "y")})
    with pytest.raises(InputError, match=r"output 'z' is not known; the model has 'y', 'h_n', 'c_n'\."):
        session.run({"features": x}, outputs=["y", "z"])
    with pytest.raises(InputError, match="no outputs are asked for"):
        session.run({"features": x}, outputs=[])


def test_arrays_that_are_not_contiguous(session, weights):
    x = np.asfortranarray(features(3, 8))[::2, ::-2]
    assert not x.flags.c_contiguous
    assert_close(session.run({"features": x}), weights.run(np.ascontiguousarray(x)))


def test_inputs_are_left_as_they_were(session):
    x, lengths = features(2, 3), np.array([3, 1])
    x.setflags(write=False)
    lengths.setflags(write=False)
    given = {"features": x}
    session.run(given, lengths)
    assert list(given) == ["features"]


def test_an_empty_axis_that_the_signature_allows(make_lstm):
    ranges = [AxisRange(name="batch", minimum=0), AxisRange(name="time", minimum=0)]
    with rnnx.load(make_lstm(states=False, ranges=ranges), provider="cpu") as session:
        found = session.run({"features": features(0, 3)})
        assert {name: value.shape for name, value in found.items()} == {
            "y": (0, 3, 4),
            "h_n": (1, 0, 4),
            "c_n": (1, 0, 4),
        }


def test_integers_and_flags_go_through(tokens, pair):
    with rnnx.load(tokens, provider="cpu") as session:
        found = session.run({"tokens": [[1, 10, 3], [2]]})
        np.testing.assert_array_equal(found["y"][0], [[1, -1], [10, -10], [3, -3]])
        np.testing.assert_array_equal(found["seen"], np.array([3, 1], np.int32))
        with pytest.raises(InputError, match=r"input 'tokens' holds 11 at \(0, 1\); allowed is 1 <= tokens < 11"):
            session.run({"tokens": np.array([[1, 11]])})
    with rnnx.load(pair, provider="cpu") as session:
        source, target = features(4, 2)[..., :2], np.ones((2, 0), np.float32)
        found = session.run({"source": source, "target": target, "keep": [True, False]}, {"source_lengths": [1, 4]})
        np.testing.assert_array_equal(found["source_out"], source)
        np.testing.assert_array_equal(found["source_lengths_out"], [1, 4])
        np.testing.assert_array_equal(found["target_lengths_out"], [0, 0])
        np.testing.assert_array_equal(found["keep_out"], [True, False])


def test_threads_get_their_own_answers(lstm, weights):
    cases = [(features(1 + number % 3, 1 + number, number), number) for number in range(12)]
    expected = [weights.run(x) for x, _ in cases]
    wrong = []
    with rnnx.load(lstm, provider="cpu", threads=1) as session:

        def work(shift):
            try:
                for turn in range(60):
                    number = (turn + shift) % len(cases)
                    assert_close(session.run({"features": cases[number][0]}), expected[number])
            except Exception as error:  # noqa: BLE001  (an assertion in a thread would be lost)
                wrong.append(error)

        threads = [threading.Thread(target=work, args=(5 * one,)) for one in range(4)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    assert not wrong


def test_a_closed_session(lstm):
    session = rnnx.load(lstm, provider="cpu")
    inner = weakref.ref(session._session)
    with session as entered:
        assert entered is session
    session.close()
    gc.collect()
    assert inner() is None, "closing frees ONNX Runtime's session"
    with pytest.raises(SessionError, match=r"the session of '.*lstm.rnnx' is closed. Load the bundle again."):
        session.run({"features": features(1, 1)})


def test_threads_and_options(lstm, weights):
    x = features(2, 4)
    options = ort.import_ort().SessionOptions()
    options.intra_op_num_threads = 1
    for one in ({"threads": 1}, {"threads": 2}, {"session_options": options}):
        with rnnx.load(lstm, provider="cpu", **one) as session:
            assert_close(session.run({"features": x}), weights.run(x))
    with rnnx.load(lstm, provider="cpu", threads=2) as session:
        assert session._session.get_session_options().intra_op_num_threads == 2
        assert session._session.get_session_options().inter_op_num_threads == 1
    for threads in (0, -1, 1.5, True, "2"):
        with pytest.raises(InputError, match=rf"threads is {threads!r}; it must be a whole number from 1"):
            rnnx.load(lstm, threads=threads)
    with pytest.raises(InputError, match=r"threads \(2\) and session_options are both given"):
        rnnx.load(lstm, threads=2, session_options=options)


def test_variants(make_lstm, weights):
    path = make_lstm(precisions=("int8", "fp32"))
    for precision, key in (("auto", "fp32-offline"), ("int8", "int8-offline")):
        with rnnx.load(path, precision=precision) as session:
            assert session.variant.key == key
    with pytest.raises(VariantError, match=r"has no variant 'fp16-offline'; it has 'int8-offline', 'fp32-offline'"):
        rnnx.load(path, precision="fp16")
    with pytest.raises(VariantError, match="has no variant 'auto-streaming'"):
        rnnx.load(path, mode="streaming")


def test_external_weights(make_lstm, weights):
    path = make_lstm(external=True)
    x = features(2, 4)
    with rnnx.load(path, provider="cpu") as session:
        assert_close(session.run({"features": x}), weights.run(x))
    data = path / "fp32-offline.data"
    raw = bytearray(data.read_bytes())
    raw[100] ^= 1
    data.write_bytes(raw)
    with pytest.raises(AlteredFileError, match=r"fp32-offline.data' has SHA-256 .*The file was changed"):
        rnnx.load(path)
    data.unlink()
    with pytest.raises(MissingFileError, match=r"lacks the file 'fp32-offline.data'"):
        rnnx.load(path)


def test_an_altered_variant_is_not_loaded(lstm):
    file = lstm / "fp32-offline.onnx"
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1
    file.write_bytes(raw)
    with pytest.raises(AlteredFileError, match=r"fp32-offline.onnx' has SHA-256"):
        rnnx.load(lstm)


def reseal(path):
    """Write the manifest anew, as a careless or hostile editor would."""
    from rnnx.bundle import Bundle, write_manifest

    write_manifest(path, Bundle.open(path).manifest)


def test_a_variant_that_onnx_runtime_does_not_load(lstm, capfd):
    (lstm / "fp32-offline.onnx").write_bytes(b"no model")
    reseal(lstm)
    message = r"ONNX Runtime [\d.]+ does not load variant 'fp32-offline' of '.*lstm.rnnx': .*INVALID_PROTOBUF"
    with pytest.raises(SessionError, match=message):
        rnnx.load(lstm, provider="cpu")
    assert capfd.readouterr() == ("", ""), "nothing on the terminal"


def test_a_variant_that_is_not_the_manifests(lstm):
    file = lstm / "fp32-offline.onnx"
    model = onnx.load(file)
    model.graph.output[0].name = "z"
    model.graph.node[-1].output[0] = "z"
    onnx.save(model, file)
    reseal(lstm)
    with pytest.raises(ManifestError, match=r"has the outputs \['z', 'h_n', 'c_n'\], the manifest declares \['y', "):
        rnnx.load(lstm)


def test_a_failure_inside_onnx_runtime_is_translated(unbounded, capfd):
    with rnnx.load(unbounded, provider="cpu") as session:
        message = r"ONNX Runtime failed in variant 'fp32-offline' of '.*' on cpu with tokens int64\[1, 2\]: .*Gather"
        with pytest.raises(SessionError, match=message) as caught:
            session.run({"tokens": [[1, 999]]})
        assert caught.value.__cause__ is not None
        np.testing.assert_array_equal(session.run({"tokens": [[1]]})["y"], [[[1, -1]]])
    assert capfd.readouterr() == ("", ""), "nothing on the terminal"


def test_providers_by_name(lstm):
    with pytest.raises(ProviderError, match=r"provider 'gpu' is not known. Allowed are 'auto', 'cpu', 'cuda'"):
        rnnx.load(lstm, provider="gpu")
    with rnnx.load(lstm) as session:
        assert session.provider_report.requested == "auto"
        assert session.provider == session.provider_report.name


FRESH = """
import sys
import rnnx, numpy
with rnnx.load(sys.argv[1], provider="cpu") as session:
    y = session.run({"features": numpy.ones((1, 2, 3), "float32")})["y"]
assert not {"torch", "onnx", "rnnx.exporters"} & sys.modules.keys(), sorted(sys.modules)
print(y.shape, float(y[0, 1, 0]))
"""


def test_a_fresh_process_loads_neither_torch_nor_onnx(lstm, weights):
    done = subprocess.run([sys.executable, "-c", FRESH, lstm], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    expected = float(weights.run(np.ones((1, 2, 3), np.float32))["y"][0, 1, 0])
    shape, _, value = done.stdout.strip().rpartition(" ")
    assert shape == "(1, 2, 4)"
    assert float(value) == pytest.approx(expected, abs=ATOL)
