"""``rnnx stream`` on graphs that other exporters made."""

from __future__ import annotations

import json
import warnings

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from rnnx.cli.main import main
from rnnx.errors import ModelFileError, StreamingError
from rnnx.exporters.stream_file import stream_file
from rnnx.manifest import Chunks

FEATURES, HIDDEN = 3, 4


_DTYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}


def legacy(module, path, *, time="time", names=True, output_axes=None):
    """What torch's own legacy exporter writes."""
    axes = {0: "batch", 1: time} if names else [0, 1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated, and says so at length
        torch.onnx.export(
            module.eval(),
            (torch.randn(2, 8, FEATURES),),
            str(path),
            dynamo=False,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": axes, "y": output_axes or axes},
        )
    return path


class Around(nn.Module):
    """One module over ``(batch, channels, time)`` before a GRU."""

    def __init__(self, *front):
        super().__init__()
        self.front = nn.Sequential(*front)
        self.gru = nn.GRU(FEATURES, HIDDEN, batch_first=True)

    def forward(self, x):
        return self.gru(self.front(x.transpose(1, 2)).transpose(1, 2))[0]


class Trimmed(nn.Module):
    """Four frames stacked, and what does not fill a stack left out."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4 * FEATURES, HIDDEN, batch_first=True)

    def forward(self, x):
        stacks = x.shape[1] // 4
        return self.lstm(x[:, : stacks * 4].reshape(x.shape[0], stacks, 4 * FEATURES))[0]


def session_of(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.fixture
def x():
    return np.random.default_rng(1).standard_normal((2, 11, FEATURES)).astype(np.float32)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_a_graph_of_the_legacy_exporter(kind, tmp_path, x):
    torch.manual_seed(0)
    module = getattr(nn, kind)(FEATURES, HIDDEN, 2, batch_first=True)
    offline = legacy(module, tmp_path / "m.onnx")
    streamed = stream_file(offline, tmp_path / "s.onnx")
    assert streamed.parity.passed
    assert streamed.states_file is None
    onnx.checker.check_model(str(streamed.file), full_check=True)
    # By hand, with ONNX Runtime alone, against torch.
    session, answers = session_of(streamed.file), []
    state = {s.name: np.zeros((2, HIDDEN), np.float32) for s in streamed.signature.states}
    outputs = [one.name for one in session.get_outputs()]
    for first, last in ((0, 1), (1, 6), (6, 11)):
        found = dict(zip(outputs, session.run(outputs, {"x": x[:, first:last], **state}), strict=True))
        answers.append(found["y"])
        state = {s.name: found[s.output] for s in streamed.signature.states}
    with torch.no_grad():
        expected = module(torch.from_numpy(x))[0].numpy()
    np.testing.assert_allclose(np.concatenate(answers, 1), expected, rtol=0, atol=1e-6)


def test_the_time_axis_may_have_any_name(tmp_path):
    offline = legacy(nn.GRU(FEATURES, HIDDEN, batch_first=True), tmp_path / "m.onnx", time="frames")
    with pytest.raises(StreamingError, match=r"no input has a dynamic axis named 'time'; there are .*'frames'.*--time"):
        stream_file(offline, tmp_path / "s.onnx")
    assert stream_file(offline, tmp_path / "s.onnx", time="frames").parity.passed


def test_an_axis_without_a_name_gets_one(tmp_path):
    offline = legacy(nn.GRU(FEATURES, HIDDEN, batch_first=True), tmp_path / "m.onnx")
    model = onnx.load(offline)
    for value in (*model.graph.input, *model.graph.output):
        for size in value.type.tensor_type.shape.dim:
            size.ClearField("dim_param")
    onnx.save(model, offline)
    assert stream_file(offline, tmp_path / "s.onnx", time="x_axis1").parity.passed


class Learned(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(FEATURES, HIDDEN, batch_first=True)
        self.h_0 = nn.Parameter(torch.full((1, 1, HIDDEN), 0.5))

    def forward(self, x):
        return self.gru(x, self.h_0.expand(1, x.size(0), HIDDEN).contiguous())[0]


def conv(**options):
    return nn.Conv1d(FEATURES, FEATURES, 3, padding=1, **options)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: Around(conv(stride=2), nn.ReLU(), conv(stride=2)), {"multiple": 4, "first": 4}),
        (lambda: Around(nn.MaxPool1d(3, 2, 1)), {"multiple": 2, "first": 2}),
        (lambda: Around(nn.MaxPool1d(2, ceil_mode=True)), {"multiple": 2, "first": 2}),
        (Trimmed, {"multiple": 4, "first": 4, "last": 4, "least": 4}),
    ],
    ids=["convolutions of stride 2", "padded maximum", "maximum, rounded up", "stacked, trimmed"],
)
def test_frames_that_are_skipped_in_a_graph_of_the_legacy_exporter(make, expected, tmp_path):
    torch.manual_seed(0)
    module = make()
    # Its outputs' sizes have no names, or wrong ones: what they are is found by running the graph.
    offline = legacy(module, tmp_path / "m.onnx", time="time", output_axes={0: "batch"})
    streamed = stream_file(offline, tmp_path / "s.onnx")
    assert streamed.parity.passed
    assert streamed.chunks == Chunks(axis="time", **expected)
    assert streamed.signature.output("y").axes == ("batch", f"time//{expected['multiple']}", HIDDEN)
    stored = {one.key: one.value for one in onnx.load(streamed.file).metadata_props}
    assert stored == {"rnnx.chunks": json.dumps(streamed.chunks.to_json())}
    onnx.checker.check_model(str(streamed.file), full_check=True)


def test_a_streaming_graph_is_run_by_hand(tmp_path, x):
    torch.manual_seed(0)
    module = Around(conv())
    streamed = stream_file(legacy(module, tmp_path / "m.onnx"), tmp_path / "s.onnx")
    assert streamed.chunks == Chunks(axis="time", first=2, last=0)
    session, answers = session_of(streamed.file), []
    outputs = [one.name for one in session.get_outputs()]
    state = {one.name: np.zeros([2, *one.shape[1:]], _DTYPES[one.type]) for one in session.get_inputs()[1:]}
    for first, last in ((0, 4), (4, 5), (5, 11)):
        state["stream.ending"][:] = last == 11
        found = dict(zip(outputs, session.run(outputs, {"x": x[:, first:last], **state}), strict=True))
        answers.append(found["y"])
        state |= {one.name: found[one.output] for one in streamed.signature.states if one.output is not None}
    assert [one.shape[1] for one in answers] == [3, 1, 7]
    with torch.no_grad():
        expected = module(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(np.concatenate(answers, 1), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("pool", "message"),
    [
        (lambda: nn.AvgPool1d(2, ceil_mode=True), r"\(AveragePool\) rounds the number of its windows up \(ceil_mode\)"),
        (lambda: nn.MaxPool1d(2, 3, 1, ceil_mode=True), r"\(MaxPool\) rounds the number of its windows up"),
    ],
)
def test_a_window_that_the_end_cuts_short_is_refused(pool, message, tmp_path):
    with pytest.raises(StreamingError, match=message):
        stream_file(legacy(Around(pool()), tmp_path / "m.onnx"), tmp_path / "s.onnx")


class OneLength(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(FEATURES, HIDDEN, batch_first=True)
        self.position = nn.Parameter(torch.ones(8, FEATURES))

    def forward(self, x):
        return self.gru(x + self.position)[0]


def test_a_graph_of_one_length_is_refused(tmp_path):
    with pytest.raises(StreamingError, match=r"the graph does not run for frames to try it with: .*'/Add'"):
        stream_file(legacy(OneLength(), tmp_path / "m.onnx"), tmp_path / "s.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.onnx"]


def test_the_command_tells_what_the_runs_take(tmp_path):
    offline = legacy(Around(conv(stride=2), conv()), tmp_path / "m.onnx")
    done = CliRunner().invoke(main, ["stream", str(offline), "-o", str(tmp_path / "s.onnx")])
    assert done.exit_code == 0, done.output
    assert "an answer for frame t needs frame t+3; frames are taken 2 at a time" in done.stdout
    again = ["stream", str(offline), "-o", str(tmp_path / "s.onnx"), "--force", "--json"]
    assert json.loads(CliRunner().invoke(main, again).stdout)["chunks"]["first"] == 4


def test_a_learned_state_is_written_beside_the_graph(tmp_path):
    streamed = stream_file(legacy(Learned(), tmp_path / "m.onnx"), tmp_path / "s.onnx")
    assert streamed.states_file == tmp_path / "s.onnx.states.npz"
    with np.load(streamed.states_file, allow_pickle=False) as states:
        (name,) = states.files
        np.testing.assert_array_equal(states[name], np.full((1, HIDDEN), 0.5, np.float32))
    assert [(one.name, one.initial) for one in streamed.signature.states] == [(name, "stored")]


def test_states_of_a_replaced_graph_go_with_it(tmp_path):
    out = tmp_path / "s.onnx"
    stream_file(legacy(Learned(), tmp_path / "m.onnx"), out)
    streamed = stream_file(legacy(nn.GRU(FEATURES, HIDDEN, batch_first=True), tmp_path / "m.onnx"), out, overwrite=True)
    assert streamed.states_file is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.onnx", "s.onnx"]


def test_a_reverse_direction_is_refused_and_nothing_written(tmp_path):
    offline = legacy(nn.LSTM(FEATURES, HIDDEN, batch_first=True, bidirectional=True), tmp_path / "m.onnx")
    with pytest.raises(StreamingError, match=r"\(LSTM\) runs backwards over time"):
        stream_file(offline, tmp_path / "s.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.onnx"]


def test_files_are_refused_clearly(tmp_path):
    with pytest.raises(ModelFileError, match="does not exist"):
        stream_file(tmp_path / "no.onnx", tmp_path / "s.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(ModelFileError, match="cannot be read as ONNX"):
        stream_file(tmp_path / "bad.onnx", tmp_path / "s.onnx")
    (tmp_path / "s.onnx").write_bytes(b"mine")
    with pytest.raises(ModelFileError, match="exists already"):
        stream_file(tmp_path / "bad.onnx", tmp_path / "s.onnx")
    assert (tmp_path / "s.onnx").read_bytes() == b"mine"


def test_the_command(tmp_path):
    offline = legacy(nn.RNN(FEATURES, HIDDEN, batch_first=True), tmp_path / "m.onnx")
    out = tmp_path / "s.onnx"
    done = CliRunner().invoke(main, ["stream", str(offline), "-o", str(out)])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == f"wrote {out}"
    assert "h of /RNN" in done.stdout
    again = CliRunner().invoke(main, ["stream", str(offline), "-o", str(out)])
    assert (again.exit_code, "exists already" in again.stderr) == (1, True)
    report = json.loads(CliRunner().invoke(main, ["stream", str(offline), "-o", str(out), "--force", "--json"]).stdout)
    assert report["parity"]["passed"] is True
