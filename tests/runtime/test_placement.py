"""Where nodes ran: from profiles that ONNX Runtime writes here, and from one in the form that it has on a GPU."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import rnnx
from rnnx.errors import InputError, ProviderError, SessionError
from rnnx.runtime import opening
from rnnx.runtime.opening import check_strict, example_inputs
from rnnx.runtime.ort import import_ort
from rnnx.runtime.placement import read_profile
from rnnx.signature import AxisRange, LengthsSpec, Signature, parse_tensor

CPU, CUDA, TENSORRT = (f"{name}ExecutionProvider" for name in ("CPU", "CUDA", "Tensorrt"))


def event(name, operator, provider, index, outputs, *, dur=10, size=64, cat="Node", ending="_kernel_time"):
    told = {
        "op_name": operator,
        "provider": provider,
        "node_index": str(index),
        "output_size": str(size),
        "output_type_shape": outputs,
    }
    return {"cat": cat, "pid": 1, "tid": 1, "dur": dur, "ts": 1, "ph": "X", "name": name + ending, "args": told}


FLOAT = [{"float": [2, 8]}]
#: A run on CUDA with lengths: two copies, the arithmetic of a shape, and an operator that CUDA does not have.
RUN = [
    {"cat": "Session", "name": "session_initialization", "dur": 5, "args": {}},
    event("x", "Transpose", CUDA, 0, FLOAT, ending="_fence_before"),
    event("rnn/Transpose", "Transpose", CUDA, 0, FLOAT),
    event("Memcpy_token_1", "MemcpyToHost", CUDA, 1, [{"int32": [2]}], size=8, dur=30),
    event("rnn/LSTM", "LSTM", CUDA, 2, FLOAT, dur=200),
    event("Memcpy_token_2", "MemcpyToHost", CUDA, 3, FLOAT, size=64, dur=30),
    event("head/Det", "Det", CPU, 4, FLOAT, dur=40),
    event("Memcpy_token_3", "MemcpyFromHost", CUDA, 5, FLOAT, size=64, dur=30),
    event("Shape", "Shape", CPU, 6, [{"int64": [3]}], size=24),
    event("count", "NonZero", CPU, 7, [{"int64": [1, 4000]}], size=32000),
    event("scan/Scan", "Scan", CUDA, 8, FLOAT, dur=100),
    event("scan/body/Add", "Add", CUDA, 0, FLOAT, dur=20),
    event("scan/body/Add", "Add", CUDA, 0, FLOAT, dur=22),
    event("void kernel", "", CUDA, 0, FLOAT, cat="Kernel"),
]


def placed(events=RUN, wanted=CUDA):
    return read_profile(events, variant="fp32-offline", wanted=wanted, modules={"head/Det": "head.norm"})


def test_what_a_profile_of_cuda_tells():
    found = placed()
    assert [(one.name, one.operator) for one in found.elsewhere] == [("head/Det", "Det"), ("count", "NonZero")]
    assert [one.name for one in found.shape_arithmetic] == ["Shape"], "many whole numbers are no shape"
    assert found.elsewhere[0].module == "head.norm"
    assert [one.name for one in found.copies] == ["Memcpy_token_1", "Memcpy_token_2", "Memcpy_token_3"]
    assert found.copied_bytes == 136
    body = next(one for one in found.nodes if one.name == "scan/body/Add")
    assert (body.runs, body.time_us, body.output_bytes) == (2, 42, 128)
    # Transpose 10, LSTM 200, the body's Adds 42; the Scan's own 100 are those of its body.
    assert found.providers == {CUDA: (4, 252), CPU: (3, 60)}
    assert str(found) == (
        f"{CUDA} 4 nodes, 252 us, {CPU} 3 nodes, 60 us; 3 copies between devices, 136 bytes; not on {CUDA}: 'head/Det' "
        f"(Det of head.norm) on {CPU}, 'count' (NonZero) on {CPU}"
    )
    told = json.loads(json.dumps(found.to_json()))
    assert told["elsewhere"] == ["head/Det", "count"]
    assert told["providers"][CPU] == {"nodes": 3, "time_us": 60}


def test_what_tensorrt_leaves_to_cuda_is_elsewhere():
    fused = event("TRTKernel_graph_0", "TRTKernel_graph_0", TENSORRT, 0, FLOAT)
    found = placed([fused, event("rnn/LSTM", "LSTM", CUDA, 1, FLOAT)], wanted=TENSORRT)
    assert [one.name for one in found.elsewhere] == ["rnn/LSTM"]


def test_strict_names_what_is_elsewhere():
    message = (
        "of variant 'fp32-offline', 2 of 7 nodes do not run on 'cuda': 'head/Det' (Det of head.norm) on "
        f"{CPU}, 'count' (NonZero) on {CPU}. Leave out strict"
    )
    with pytest.raises(ProviderError, match=re.escape(message)):
        check_strict(placed(), "cuda")
    many = [event(f"n{number}", "Det", CPU, number, FLOAT) for number in range(11)]
    with pytest.raises(ProviderError, match=r"11 of 11 nodes .*'n7' \(Det\) on CPUExecutionProvider and 3 more"):
        check_strict(placed(many), "cuda")
    check_strict(
        placed([one for one in RUN if one["name"] not in {"head/Det_kernel_time", "count_kernel_time"}]), "cuda"
    )


def test_a_profile_without_nodes_proves_nothing():
    with pytest.raises(ValueError, match="no node that ran"):
        placed(RUN[:1])


def test_the_real_thing(lstm, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with rnnx.load(lstm, provider="cpu", strict=True) as session:
        x = np.zeros((2, 5, 3), np.float32)
        found = session.placement({"features": x}, lengths=[5, 3])
        assert {one.provider for one in found.nodes} == {CPU}
        assert {"LSTM", "Cast", "Transpose"} <= {one.operator for one in found.nodes}
        assert found.shapes["features"] == (2, 5, 3)
        assert found.copies == found.elsewhere == ()
        assert (found.variant, found.wanted) == ("fp32-offline", CPU)
        layer = next(one for one in found.nodes if one.operator == "LSTM")
        assert layer.runs == 1
        assert layer.output_bytes >= 2 * 5 * 4 * 4, "y, at the least"
        assert session.placement().shapes["features"] == (1, 1, 3), "the smallest that it takes"
        with pytest.raises(InputError, match="is missing"):
            session.placement({})
        # The session itself is not profiled, and nothing is left behind.
        assert not session._opening.options.enable_profiling
    assert not list(tmp_path.glob("rnnx-profile-*"))
    with pytest.raises(SessionError, match="is closed"):
        session.placement()


def test_strict_is_held_against_the_profile(lstm, monkeypatch):
    """A provider that takes all in name, and whose profile says otherwise."""

    def attempt(ort, model, provider, options, given):
        return import_ort().InferenceSession(model, options, providers=[CPU], enable_fallback=0)

    monkeypatch.setattr(opening, "attempt", attempt)
    monkeypatch.setattr(opening, "open_session", lambda *_, **__: pytest.fail("it was taken all the same"))
    with pytest.raises(ProviderError, match=r"nodes do not run on 'cuda': .*\(LSTM\) on CPUExecutionProvider"):
        rnnx.load(lstm, provider="cuda", strict=True)
    with pytest.raises(InputError, match=r"strict is given with the provider 'auto'. Name the provider"):
        rnnx.load(lstm, strict=True)


def test_the_users_options_are_as_they_were(lstm):
    options = import_ort().SessionOptions()
    options.profile_file_prefix = "mine"
    with rnnx.load(lstm, provider="cpu", session_options=options) as session:
        session.placement()
    assert (options.enable_profiling, options.profile_file_prefix) == (False, "mine")
    assert not list(Path.cwd().glob("mine*"))


def test_modules_are_those_of_the_source(tmp_path):
    torch = pytest.importorskip("torch")
    from rnnx.exporters import export

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = torch.nn.GRU(3, 4, batch_first=True)
            self.head = torch.nn.Linear(4, 2)

        def forward(self, x):
            return self.head(self.encoder(x)[0])

    torch.manual_seed(0)
    export(Net(), out=tmp_path / "n.rnnx", inputs=["x: float32[batch, time, 3]"])
    with rnnx.load(tmp_path / "n.rnnx", provider="cpu") as session:
        found = {one.operator: one.module for one in session.placement().nodes}
    assert found["GRU"] == "encoder"
    assert {"head"} < set(found.values())


def test_the_smallest_inputs():
    signature = Signature(
        inputs=tuple(
            map(
                parse_tensor,
                ("x: float32[batch, time]", "n: int64[batch, 2] >= 3 < 9", "lengths: int32[batch]", "k: bool[]"),
            )
        ),
        lengths=(LengthsSpec(name="lengths", axis="time"),),
        ranges=(AxisRange(name="time", minimum=5, multiple_of=4), AxisRange(name="batch", minimum=0)),
    )
    found = example_inputs(signature)
    assert {name: (array.dtype.name, array.shape) for name, array in found.items()} == {
        "x": ("float32", (1, 8)),
        "n": ("int64", (1, 2)),
        "lengths": ("int32", (1,)),
        "k": ("bool", ()),
    }
    assert found["n"].tolist() == [[3, 3]]
    assert found["lengths"].tolist() == [8]
