"""Streams of models that look at several frames: strides, pools, lookahead, residual ways, stacked frames."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from click.testing import CliRunner
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import rnnx
from rnnx.benchmarks.coverage import export_case
from rnnx.benchmarks.stream_cases import stream_cases
from rnnx.cli.main import main
from rnnx.exporters import exporter as exporting
from rnnx.exporters.exporter import export
from rnnx.exporters.passes.stream import StreamPass
from rnnx.manifest import Chunks
from rnnx.runtime.state import State
from rnnx.runtime.verify import verify

FEATURES, HIDDEN = 3, 4
X = [f"x: float32[batch, time, {FEATURES}]"]
CASES = {case.name: case for case in stream_cases()}


def chunks(multiple=1, first=1, keep=0, last=1, least=1):
    return Chunks(axis="time", multiple=multiple, first=first, keep=keep, last=last, least=least)


#: By hand. A convolution of reach 3 that is padded by one on either side answers for frame 0 when frame 1 is there;
#: with stride 2 it answers for two frames at once, and the padding stands in for a last frame without a partner.
QUICK = {
    "padded convolution, LSTM": chunks(first=2, last=0),
    "padded convolution, stride 2, twice, LSTM": chunks(multiple=4, first=4),
    # The LSTM must not see a run of no frames, so one waits for the end besides the two that the answer looks ahead.
    "row convolution behind an LSTM": chunks(first=3, keep=1),
}
MORE = {
    "residual block that looks ahead, LSTM": chunks(first=3, last=0),
    "largest of 2 in an image, padded convolutions": chunks(multiple=2, first=5, keep=1, least=2),
    "three frames stacked": chunks(multiple=3, first=3),
    "padded convolution twice, LSTM": chunks(first=3, last=0),
    "padded convolution, stride 2, LSTM": chunks(multiple=2, first=2),
    "convolution without padding, LSTM": chunks(first=3, least=3),
    "convolution without padding, stride 2, LSTM": chunks(multiple=2, first=4, least=3),
    "causal convolution, stride 2, LSTM": chunks(multiple=2, first=2),
    "causal convolution, stride 2, padded by one, LSTM": chunks(multiple=2, first=2, last=2, least=2),
    "dilated and grouped convolution, LSTM": chunks(first=5, keep=1, least=3),
    "convolution padded and cut, LSTM": None,
    "convolution behind joined zeros, LSTM": None,
    "mean of 2, LSTM": chunks(multiple=2, first=2, last=2, least=2),
    "padded mean of 3, stride 2, LSTM": chunks(multiple=2, first=2),
    "padded maximum of 3, stride 2, LSTM": chunks(multiple=2, first=2),
    # Both ways skip the same frames; the short one waits for the two frames that the long one looks ahead, and one
    # frame waits for the end because a convolution must not see a run of none.
    "residual block of stride 2, LSTM": chunks(multiple=2, first=4, keep=1),
    "branches that look ahead, LSTM": chunks(first=3, last=0),
    "one vector beside the frames": chunks(multiple=2, first=2),
    "three frames spliced": chunks(first=3, least=3),
    "differences of neighbouring frames": chunks(first=2, least=2),
    "every other frame": chunks(multiple=2, first=2, last=2, least=2),
    "padded convolutions over time and frequency, stride 2": chunks(multiple=2, first=4, keep=1),
    "padded convolution, stride 2, packed LSTM": chunks(multiple=2, first=2),
}


def test_every_case_is_expected_here():
    assert {*QUICK, *MORE} == CASES.keys()


@pytest.mark.parametrize(
    ("name", "expected"),
    [*QUICK.items(), *(pytest.param(*one, marks=pytest.mark.slow) for one in MORE.items())],
    ids=[*QUICK, *MORE],
)
def test_every_cutting_gives_the_whole_answer(name, expected, tmp_path):
    exported = export_case(CASES[name], tmp_path / "s.rnnx")
    streaming = exported.bundle.manifest.variants[1]
    assert streaming.chunks == expected
    assert {row.chunks for row in exported.streaming.rows} == {"all", "random", "1"}
    assert exported.streaming.passed
    assert max(row.max_abs_diff for row in exported.streaming.rows) < 1e-6
    assert verify(exported.bundle.path, provider="cpu").passed


class Listener(nn.Module):
    """A front-end that halves, an LSTM, and a convolution that looks ahead: 1 answer for 2 frames, 2 frames late."""

    def __init__(self):
        super().__init__()
        self.front = nn.Conv1d(FEATURES, FEATURES, 3, stride=2, padding=1)
        self.lstm = nn.LSTM(FEATURES, HIDDEN, batch_first=True)
        self.ahead = nn.Conv1d(HIDDEN, 2, 3, padding=1)

    def forward(self, x):
        hidden, (h_n, _) = self.lstm(self.front(x.transpose(1, 2)).transpose(1, 2))
        scores, last = self.ahead(hidden.transpose(1, 2)).transpose(1, 2), h_n[-1]
        return scores, last


@pytest.fixture(scope="module")
def listener(tmp_path_factory):
    out = tmp_path_factory.mktemp("chunks") / "listener.rnnx"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        module = Listener().eval()
    return module, export(module, inputs=X, out=out, streaming="on")


@pytest.fixture
def session(listener):
    with rnnx.load(listener[1].bundle.path, mode="streaming", provider="cpu", threads=1) as session:
        yield session


@pytest.fixture
def x():
    return np.random.default_rng(5).standard_normal((2, 17, FEATURES)).astype(np.float32)


def by_torch(listener, x):
    with torch.no_grad():
        return [one.numpy() for one in listener[0](torch.from_numpy(x))]


def joined(answers):
    return np.concatenate([answer["scores"] for answer in answers], axis=1)


def close(found, expected):
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_the_face_says_what_it_takes(listener):
    variant = listener[1].bundle.manifest.variants[1]
    # Four frames for the first answer; one waits, so that the LSTM has a frame in the last run.
    assert variant.chunks == chunks(multiple=2, first=4, keep=1)
    assert variant.chunks.delay == 3
    assert str(variant.signature.output("scores")) == "scores: float32[batch, time//2, 2]"
    states = {one.name: one for one in variant.signature.states}
    assert (states["stream.begun"].output, states["stream.ending"].output) == ("stream.begun_next", None)
    assert variant.signature.input("front/Conv.context").axes == ("batch", FEATURES, 1)
    assert variant.signature.input("ahead/Conv.context").axes == ("batch", HIDDEN, 2)
    note = "Streaming: an answer for frame t needs frame t+3; frames are taken 2 at a time."
    assert note in listener[1].bundle.manifest.notes
    shown = CliRunner().invoke(main, ["inspect", str(listener[1].bundle.path)])
    assert "frame t needs frame t+3; frames are taken 2 at a time" in shown.stdout
    data = json.loads(CliRunner().invoke(main, ["inspect", str(listener[1].bundle.path), "--json"]).stdout)
    assert data["variants"][1]["chunks"] == variant.chunks.to_json()
    assert data["variants"][0]["chunks"] is None


@pytest.mark.parametrize("steps", range(1, 10))
def test_streams_of_every_length_in_single_frames(listener, session, x, steps):
    scores, last = by_torch(listener, x[:, :steps])
    stream = session.stream(2)
    answers = [stream.push(x[:, t : t + 1]) for t in range(steps)]
    answers.append(stream.finish())
    close(joined(answers), scores)
    close(next(answer["last"] for answer in reversed(answers) if "last" in answer), last)


def test_an_answer_comes_as_soon_as_it_may(session, x):
    stream = session.stream(2)
    given = [stream.push(x[:, t : t + 1])["scores"].shape[1] for t in range(9)]
    # Frames 0 to 4 for the first, then one for two frames.
    assert given == [0, 0, 0, 0, 1, 0, 1, 0, 1]


def test_where_all_frames_wait_the_answer_is_empty(session, x):
    outputs, state = session.step({"x": x[:, :3]}, session.initial_state(2))
    assert {name: (array.shape, array.dtype) for name, array in outputs.items()} == {
        "scores": ((2, 0, 2), np.dtype(np.float32))
    }
    assert state.waiting == 3
    np.testing.assert_array_equal(state.pending["x"], x[:, :3])


def test_frames_that_wait_are_copies(session, x):
    chunk = x[:, :3].copy()
    _, state = session.step({"x": chunk}, session.initial_state(2))
    chunk[:] = 0
    np.testing.assert_array_equal(state.pending["x"], x[:, :3])


def test_a_step_leaves_its_state_as_it_was(listener, session, x):
    _, first = session.step({"x": x[:, :6]}, session.initial_state(2))
    before = first.to_bytes()
    once = [session.step({"x": x[:, 6:]}, first)[0] for _ in range(2)]
    assert first.to_bytes() == before
    np.testing.assert_array_equal(once[0]["scores"], once[1]["scores"])


def test_interleaved_streams_do_not_touch(listener, session, x):
    streams, answers = [session.stream(), session.stream()], [[], []]
    for t in range(0, 17, 2):
        answers[0].append(streams[0].push(x[:1, t : t + 2]))
        answers[1] += [streams[1].push(x[1:, one : one + 1]) for one in range(t, min(t + 2, 17))]
    for row in (0, 1):
        answers[row].append(streams[row].finish())
        close(joined(answers[row]), by_torch(listener, x[row : row + 1])[0])


def test_a_state_with_waiting_frames_goes_on_elsewhere(listener, session, x):
    stream = session.stream(2)
    answers = [stream.push(x[:, :8])]
    raw = stream.state.to_bytes()
    with rnnx.load(session.bundle.path, mode="streaming", provider="cpu") as other:
        moved = other.stream(state=State.from_bytes(raw))
        assert moved.state.waiting == 2
        answers += [moved.push(x[:, 8:]), moved.finish()]
    close(joined(answers), by_torch(listener, x)[0])


def test_a_finished_stream_takes_nothing_until_it_is_reset(listener, session, x):
    stream = session.stream(2)
    stream.push(x)
    stream.finish()
    for use in (lambda: stream.push(x), stream.finish):
        with pytest.raises(rnnx.errors.SessionError, match=r"the stream is finished\. Begin another .* with reset\(\)"):
            use()
    stream.reset()
    close(joined([stream.push(x), stream.finish()]), by_torch(listener, x)[0])
    stream.close()
    with pytest.raises(rnnx.errors.SessionError, match="the stream is closed"):
        stream.finish()


def test_nothing_in_nothing_out(session):
    assert session.stream(3).finish()["scores"].shape == (3, 0, 2)


def test_a_row_alone_is_reset_only_where_all_stand_alike(listener, session, x):
    stream = session.stream(2)
    stream.push(x[:, :2])
    with pytest.raises(rnnx.errors.StateError, match=r"rows \[1\] cannot be replaced alone.*2 frames wait.*0 frames"):
        stream.reset([1])
    stream.push(x[:, 2:5])
    with pytest.raises(rnnx.errors.StateError, match=r"they have begun, in the other state .* have not begun"):
        stream.reset([1])
    stream.reset([0, 1])
    close(joined([stream.push(x), stream.finish()]), by_torch(listener, x)[0])


def test_a_row_is_taken_from_a_stream_at_the_same_point(listener, session, x):
    one, other = session.stream(2), session.stream()
    one.push(x[:, :8])
    other.push(x[:1, 1:9])
    one.state = one.state.replaced([1], other.state)
    found = joined([one.push(np.concatenate([x[:1, 8:16], x[:1, 9:17]])), one.finish()])
    skipped = 3  # answers that the first eight frames gave
    close(found[:1], by_torch(listener, x[:1, :16])[0][:, skipped - 1 :])
    close(found[1:], by_torch(listener, x[:1, 1:17])[0][:, skipped - 1 :])


def test_rows_that_begun_and_not_cannot_be_one_state(session, x):
    _, state = session.step({"x": x}, session.initial_state(2))
    values = {**state.values, "stream.begun": np.array([0, 1])}
    with pytest.raises(rnnx.errors.StateError, match="some of the state's 2 streams have begun and others have not"):
        session.step({"x": x}, State(owner=state.owner, values=values, pending=state.pending, waiting=state.waiting))


def test_wrong_inputs_are_refused_while_frames_wait(session, x):
    stream = session.stream(2)
    stream.push(x[:, :1])
    with pytest.raises(rnnx.errors.InputError, match="batch"):
        stream.push(x[:1, :1])
    with pytest.raises(rnnx.errors.DtypeError):
        stream.push(x[:, :1].astype(np.float64))
    assert stream.state.waiting == 1


def seeded_module(make):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make().eval()


class Around(nn.Module):
    """One module over ``(batch, channels, time)`` before a GRU."""

    def __init__(self, front, channels=FEATURES):
        super().__init__()
        self.front = front
        self.gru = nn.GRU(channels, HIDDEN, batch_first=True)

    def forward(self, x):
        return self.gru(self.front(x.transpose(1, 2)).transpose(1, 2))[0]


class Unaligned(nn.Module):
    """One way looks ahead by one frame and then skips every other one; the other way skips the ones that are left."""

    def __init__(self):
        super().__init__()
        self.near = nn.Conv1d(FEATURES, FEATURES, 3, padding=1)
        self.skipping = nn.Conv1d(FEATURES, FEATURES, 3, stride=2, padding=1)
        self.short = nn.Conv1d(FEATURES, FEATURES, 1, stride=2)

    def forward(self, x):
        return self.skipping(self.near(x)) + self.short(x)


class Tail(nn.Module):
    def forward(self, x):
        return x[:, :, -3:]


REFUSED = {
    "reflect": (
        lambda: nn.Conv1d(FEATURES, FEATURES, 3, padding=1, padding_mode="reflect"),
        r"\(Pad of module 'front'\) pads with steps of its own \(mode 'reflect'\), so it cannot be carried",
    ),
    "group norm": (lambda: nn.GroupNorm(1, FEATURES), r"of module 'front'\) normalises over time"),
    "mean without its padding": (
        lambda: nn.AvgPool1d(3, 1, 1, count_include_pad=False),
        r"\(AveragePool of module 'front'\) leaves its padding out of the means",
    ),
    "unaligned": (Unaligned, r"\(Add.*\) joins sequences that skip different frames: .* cannot be lined up"),
    "padding alone": (
        lambda: nn.Conv1d(FEATURES, FEATURES, 1, padding=1),
        "pads 1 steps before a window of 1, so that its first answer sees padding alone",
    ),
    "transposed": (lambda: nn.ConvTranspose1d(FEATURES, FEATURES, 2, 2), r"\(ConvTranspose of .*is not known to treat"),
    "tail": (Tail, r"\(Slice.*\) picks steps by number, so it cannot be carried over chunks"),
}


@pytest.mark.parametrize(("front", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_carried_is_refused(front, message, tmp_path):
    with pytest.raises(rnnx.errors.StreamingError, match=message):
        export(
            seeded_module(lambda: Around(front())),
            inputs=X,
            ranges={"time": (4, None)},
            out=tmp_path / "s.rnnx",
            streaming="on",
        )
    assert list(tmp_path.iterdir()) == []


class Padded(nn.Module):
    """More padding than the window that follows can see at once, by an operator of its own."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(FEATURES, FEATURES, 3)

    def forward(self, x):
        return self.conv(nn.functional.pad(x, (4, 1)))


def test_padding_beyond_a_window_stays_a_pad(tmp_path):
    module = seeded_module(lambda: Around(Padded()))
    exported = export(module, inputs=X, out=tmp_path / "s.rnnx", streaming="on", simplify=False)
    streaming = exported.bundle.manifest.variants[1]
    assert exported.streaming.passed
    # Two answers of padding alone are there before the first frame, so the first run gives more than it takes.
    assert streaming.chunks == chunks(last=0)
    assert streaming.operators["Pad"] == 1
    with rnnx.load(exported.bundle.path, mode="streaming", provider="cpu") as session, session.stream() as stream:
        given = [stream.push(np.ones((1, 1, FEATURES), np.float32))["output"].shape[1] for _ in range(3)]
        assert [*given, stream.finish()["output"].shape[1]] == [3, 1, 1, 1]


@pytest.mark.parametrize("layout", ["fixed batch", "time first", "no batch"])
def test_states_have_the_batch_first_whatever_the_layout(layout, tmp_path):
    make, axes, rows = {
        "fixed batch": (lambda: Around(nn.Conv1d(FEATURES, FEATURES, 3, padding=1)), "2, time", 2),
        "time first": (TimeFirst, "time, batch", "batch"),
        "no batch": (Unbatched, "time", 1),
    }[layout]
    inputs = [f"x: float32[{axes}, {FEATURES}]"]
    exported = export(seeded_module(make), inputs=inputs, out=tmp_path / "s.rnnx", streaming="on")
    streaming = exported.bundle.manifest.variants[1]
    assert streaming.chunks.delay > 0
    assert {streaming.signature.input(state.name).axes[0] for state in streaming.signature.states} == {rows}
    assert exported.streaming.passed
    assert verify(exported.bundle.path, provider="cpu").passed


class TimeFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(FEATURES, FEATURES)
        self.conv = nn.Conv1d(FEATURES, FEATURES, 3, padding=1)

    def forward(self, x):
        y, _ = self.lstm(x)
        return y + self.conv(y.permute(1, 2, 0)).permute(2, 0, 1)


class Unbatched(TimeFirst):
    def forward(self, x):
        y, _ = self.lstm(x)
        return y + self.conv(y.T).T


def test_a_streaming_graph_that_does_not_load_is_a_note(monkeypatch, tmp_path):
    loaded = exporting.load

    def load(*args, mode="offline", **options):
        if mode == "streaming":
            raise rnnx.errors.SessionError("no such operator")
        return loaded(*args, mode=mode, **options)

    monkeypatch.setattr(exporting, "load", load)
    module = seeded_module(lambda: nn.GRU(FEATURES, HIDDEN, batch_first=True))
    exported = export(module, inputs=[f"input: float32[batch, time, {FEATURES}]"], out=tmp_path / "s.rnnx")
    assert exported.streaming is None
    note = "No streaming variant: the streaming graph does not load: no such operator"
    assert exported.bundle.manifest.notes == (note,)
    assert not (exported.bundle.path / "fp32-streaming.onnx").exists()
    with pytest.raises(rnnx.errors.StreamingError, match="does not load: no such operator"):
        export(
            module,
            inputs=[f"input: float32[batch, time, {FEATURES}]"],
            out=tmp_path / "t.rnnx",
            streaming="on",
        )


def test_sequences_of_different_rates_are_not_joined():
    model = ir.from_proto(
        onnx.parser.parse_model(
            """<ir_version: 10, opset_import: ["": 20]>
            g (float[batch, 3, time] x) => (float[batch, 3, time] y) {
                z = AveragePool<kernel_shape = [2], strides = [2]>(x)
                y = Add(x, z)
            }"""
        )
    )
    pool = model.graph[0]
    pool.outputs[0].shape = ir.Shape(["batch", 3, "time//2"])
    with pytest.raises(rnnx.errors.StreamingError, match=r"one has a step for 1 frames and another for 2"):
        StreamPass(time="time", batch="batch")(model)


class Steps(nn.Module):
    """Two strides that make hundreds of frames one answer, as a front end over samples does, and lengths beside."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv1d(1, HIDDEN, 130, stride=100)
        self.second = nn.Conv1d(HIDDEN, HIDDEN, 2, stride=2)
        self.gru = nn.GRU(HIDDEN, HIDDEN, batch_first=True)

    def forward(self, samples, lengths):
        x = self.first(nn.functional.pad(samples.unsqueeze(1), (129, 0)))
        x = self.second(nn.functional.pad(x, (1, 0))).transpose(1, 2)
        packed = pack_padded_sequence(x, (lengths + 199) // 200, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.gru(packed)[0], batch_first=True, total_length=x.shape[1])[0]


@pytest.mark.slow
def test_steps_of_hundreds_of_frames_are_seen_where_there_are_lengths(tmp_path):
    torch.manual_seed(0)
    model = Steps().eval()
    face = {"inputs": ["samples: float32[batch, time]"], "lengths": "lengths", "ranges": {"time": (401, None)}}
    export(model, **face, example={"time": 1003}, out=tmp_path / "steps.rnnx", streaming="on")
    x = np.random.default_rng(0).standard_normal((2, 1500)).astype(np.float32)
    with torch.inference_mode():
        expected = model(torch.from_numpy(x), torch.tensor([1500, 1500])).numpy()
    with rnnx.load(tmp_path / "steps.rnnx", provider="cpu", mode="streaming") as session, session.stream(2) as stream:
        found = [stream.push({"samples": x[:, a:b]}) for a, b in ((0, 90), (90, 555), (555, 1500))]
        found.append(stream.finish())
    np.testing.assert_allclose(np.concatenate([one["output"] for one in found], 1), expected, atol=1e-5)
