"""The streaming variant: any way of cutting a sequence gives the whole run's answer, and what cannot is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import rnnx
from rnnx.exporters.exporter import export
from rnnx.runtime.verify import verify

FEATURES, HIDDEN = 3, 4
X = [f"x: float32[batch, time, {FEATURES}]"]


class Tagger(nn.Module):
    """Pointwise work around two kinds of layers; an answer a frame and one so far."""

    def __init__(self, *, bidirectional=False):
        super().__init__()
        self.norm = nn.LayerNorm(FEATURES)
        self.lstm = nn.LSTM(FEATURES, HIDDEN, 2, batch_first=True, bidirectional=bidirectional)
        self.gru = nn.GRU(HIDDEN * (2 if bidirectional else 1), HIDDEN, batch_first=True)
        self.head = nn.Linear(HIDDEN, 2)

    def forward(self, x):
        y, _ = self.lstm(self.norm(x))
        y, h_n = self.gru(y)
        frames, last = self.head(y).log_softmax(-1), self.head(h_n[-1])
        return frames, last


class Packed(Tagger):
    def forward(self, x, lengths):
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        y, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=x.size(1), padding_value=-1.0)
        frames = self.head(y)
        return frames  # noqa: RET504  (the output is called so)


class Learned(nn.Module):
    """An initial state that was trained."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(FEATURES, HIDDEN, batch_first=True)
        self.h_0 = nn.Parameter(torch.randn(1, 1, HIDDEN))

    def forward(self, x):
        y, _ = self.rnn(x, self.h_0.expand(-1, x.size(0), -1).contiguous())
        return y


class Given(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(FEATURES, HIDDEN, batch_first=True)

    def forward(self, x, h_0=None):
        y, h_n = self.gru(x, h_0)
        return y, h_n


class Asked(Given):
    """A state that has no default."""

    def forward(self, x, h_0):
        return super().forward(x, h_0)


class Pair(nn.Module):
    """Both states in one argument that has no default."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(FEATURES, HIDDEN, batch_first=True)

    def forward(self, x, hx):
        y, (h_n, c_n) = self.lstm(x, hx)
        return y, h_n, c_n


class Scanned(nn.Module):
    """A cell of one's own with a state of two dtypes."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(FEATURES + HIDDEN, HIDDEN)

    def forward(self, x):
        def step(state, frame):
            h, count = state
            h = torch.tanh(self.mix(torch.cat([frame, h], -1)))
            return (h, count + 1), (h, count)

        zeros = x.new_zeros(x.size(0), HIDDEN), torch.zeros(x.size(0), dtype=torch.int64)
        _, (y, n) = rnnx.scan(step, zeros, x)
        return y, n


class Mean(Tagger):
    def forward(self, x):
        return self.head(self.lstm(x)[0].mean(1))


class SelfAttention(Tagger):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(HIDDEN, 1, batch_first=True)

    def forward(self, x):
        y, _ = self.lstm(x)
        return self.attention(y, y, y, need_weights=False)[0]


class Causal(Tagger):
    """Convolutions padded on the left only, dilated and grouped ones among them."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv1d(FEATURES, 6, 3)
        self.second = nn.Conv1d(6, 6, 2, dilation=4, groups=3)
        self.third = nn.Conv1d(6, FEATURES, 1)

    def forward(self, x):
        z = torch.relu(self.first(nn.functional.pad(x.transpose(1, 2), (2, 0))))
        z = self.third(self.second(nn.functional.pad(z, (4, 0))))
        y, _ = self.lstm(z.transpose(1, 2))
        return y


class Positional(Tagger):
    """Counts frames from the beginning of what it is given, which no rule of the pass forbids."""

    def forward(self, x):
        y, _ = self.lstm(x)
        return y * torch.arange(x.size(1)).float().unsqueeze(-1)


class FromData(Tagger):
    def forward(self, x, hint):
        return self.gru(self.lstm(x)[0], hint.unsqueeze(0))[0]


class Feedforward(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(FEATURES, 2)

    def forward(self, x):
        return self.head(x)


def seeded(module):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return module().eval()


@pytest.fixture(scope="module")
def tagger(tmp_path_factory):
    out = tmp_path_factory.mktemp("stream") / "tagger.rnnx"
    module = seeded(Tagger)
    return module, export(module, inputs=X, out=out)


def test_the_face_has_states_and_no_lengths(tmp_path):
    exported = export(seeded(Packed), inputs=X, lengths="lengths", out=tmp_path / "s.rnnx", streaming="on")
    offline, streaming = exported.bundle.manifest.variants
    assert (offline.key, streaming.key) == ("fp32-offline", "fp32-streaming")
    assert [str(spec) for spec in streaming.signature.inputs] == [
        *X,
        *(f"lstm.{layer}.{kind}: float32[batch, {HIDDEN}]" for layer in ("l0", "l1") for kind in ("h", "c")),
    ]
    assert streaming.signature.lengths == ()
    assert [(one.name, one.output, one.meaning, one.initial) for one in streaming.signature.states] == [
        (f"lstm.{layer}.{kind}", f"lstm.{layer}.{kind}_next", f"{kind} of lstm.{layer}", "zeros")
        for layer in ("l0", "l1")
        for kind in ("h", "c")
    ]
    assert "Cast" not in streaming.operators


@pytest.mark.parametrize(
    ("module", "inputs", "options"),
    [
        (Tagger, X, {}),
        (Packed, X, {"lengths": "lengths"}),
        (Learned, X, {}),
        (Given, X, {"states": [f"h_0: float32[1, batch, {HIDDEN}]"]}),
        (Asked, X, {"states": [f"h_0: float32[1, batch, {HIDDEN}]"]}),
        (Pair, X, {"states": [f"h -> hx.0: float32[1, batch, {HIDDEN}]", f"c -> hx.1: float32[1, batch, {HIDDEN}]"]}),
        (Scanned, X, {}),
        (Causal, X, {}),
        (Causal, X, {"simplify": False}),
        (lambda: nn.GRU(FEATURES, HIDDEN), [f"input: float32[time, {FEATURES}]"], {}),
        (lambda: nn.LSTM(FEATURES, HIDDEN), [f"input: float32[time, batch, {FEATURES}]"], {}),
        (lambda: nn.LSTM(FEATURES, HIDDEN, proj_size=2), [f"input: float32[time, batch, {FEATURES}]"], {}),
    ],
    ids=[
        "layers",
        "packed",
        "learned",
        "given",
        "asked for",
        "asked for in a pair",
        "scan",
        "causal",
        "causal, not simplified",
        "unbatched",
        "time first",
        "projection",
    ],
)
def test_every_cutting_gives_the_whole_answer(module, inputs, options, tmp_path):
    exported = export(seeded(module), inputs=inputs, out=tmp_path / "s.rnnx", streaming="on", **options)
    assert exported.streaming.passed
    assert {row.chunks for row in exported.streaming.rows} == {"all", "random", "1"}
    assert max(row.max_abs_diff for row in exported.streaming.rows) < 1e-6
    # The proof where the bundle will run holds the streaming variant too.
    report = verify(exported.bundle.path, provider="cpu")
    assert report.passed
    assert {row.variant for row in report.rows} == {"fp32-offline", "fp32-streaming"}


def test_a_state_without_a_default_begins_at_zeros(tmp_path):
    module = seeded(Asked)
    states = [f"h_0: float32[1, batch, {HIDDEN}]"]
    exported = export(module, inputs=X, states=states, outputs=("y", "h_n"), out=tmp_path / "s.rnnx", streaming="on")
    assert exported.parity.undefined == {}
    assert {row.states for row in exported.parity.rows} == {"absent", "random"}
    x = np.random.default_rng(0).standard_normal((1, 7, FEATURES)).astype(np.float32)
    with torch.no_grad():
        expected = module(torch.from_numpy(x), torch.zeros(1, 1, HIDDEN))[0].numpy()
    with rnnx.load(exported.bundle.path, provider="cpu", mode="streaming") as session, session.stream() as stream:
        found = np.concatenate([stream.push({"x": part})["y"] for part in (x[:, :3], x[:, 3:])], axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_causal_convolution_carries_its_context(tmp_path):
    exported = export(seeded(Causal), inputs=X, out=tmp_path / "s.rnnx", streaming="on")
    streaming = exported.bundle.manifest.variants[1]
    axes = {spec.name: spec.axes for spec in streaming.signature.inputs}
    assert axes["first/Conv.context"] == ("batch", FEATURES, 2)
    assert axes["second/Conv.context"] == ("batch", 6, 4)
    assert "Pad" not in streaming.operators


def test_a_learned_state_keeps_its_value(tmp_path):
    module = seeded(Learned)
    out = tmp_path / "s.rnnx"
    export(module, inputs=X, out=out, streaming="on")
    with rnnx.load(out, mode="streaming") as session:
        state = session.initial_state(2)
        np.testing.assert_array_equal(state.values["rnn.l0.h"], np.repeat(module.h_0.detach().numpy()[0], 2, axis=0))


class Tied(nn.Module):
    """One learned value that two states start from, behind an embedding of a single token."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(1, FEATURES)
        self.lstm = nn.LSTM(FEATURES, HIDDEN, batch_first=True)
        self.start = nn.Parameter(torch.full((1, 1, HIDDEN), 0.5))

    def forward(self, tokens):
        start = self.start.expand(1, tokens.size(0), -1).contiguous()
        return self.lstm(self.embedding(tokens), (start, start))[0]


def test_states_may_start_from_one_learned_value(tmp_path):
    out = tmp_path / "s.rnnx"
    assert export(seeded(Tied), inputs=["tokens: int64[batch, time] < 1"], out=out, streaming="on").streaming.passed
    with rnnx.load(out, mode="streaming") as session:
        for name in ("lstm.l0.h", "lstm.l0.c"):
            np.testing.assert_array_equal(session.initial_state().values[name], np.full((1, HIDDEN), 0.5, np.float32))


def test_a_fixed_batch_is_as_many_streams(tmp_path):
    out = tmp_path / "s.rnnx"
    module = seeded(lambda: nn.LSTM(FEATURES, HIDDEN, batch_first=True))
    exported = export(module, inputs=[f"input: float32[2, time, {FEATURES}]"], out=out, streaming="on")
    assert {row.chunks for row in exported.streaming.rows} == {"all", "random", "1"}
    assert exported.bundle.manifest.variants[1].signature.input("lstm.l0.h").axes == (2, HIDDEN)
    with rnnx.load(out, mode="streaming") as session:
        assert session.initial_state().batch == 2
    assert verify(out, provider="cpu").passed


def test_ten_thousand_steps_do_not_drift(tagger):
    module, exported = tagger
    x = np.random.default_rng(3).standard_normal((1, 10_000, FEATURES)).astype(np.float32)
    with torch.no_grad():
        frames, last = module(torch.from_numpy(x))
    with rnnx.load(exported.bundle.path, mode="streaming", threads=1) as session, session.stream() as stream:
        answers = [stream.push({"x": x[:, t : t + 1]}) for t in range(10_000)]
    found = np.concatenate([answer["frames"] for answer in answers], axis=1)
    np.testing.assert_allclose(found, frames.numpy(), rtol=0, atol=1e-5)
    np.testing.assert_allclose(answers[-1]["last"], last.numpy(), rtol=0, atol=1e-5)


class Summing(nn.Module):
    """Adds up over the features, or over time."""

    def __init__(self, axis):
        super().__init__()
        self.lstm = nn.LSTM(FEATURES, HIDDEN, batch_first=True)
        self.axis = axis

    def forward(self, x):
        return self.lstm(x)[0].cumsum(self.axis)


@pytest.mark.parametrize("axis", [2, -1])
def test_a_sum_over_the_features_of_each_step_streams(axis, tmp_path):
    exported = export(seeded(lambda: Summing(axis)), inputs=X, out=tmp_path / "s.rnnx", streaming="on")
    assert exported.streaming.passed


REFUSED = [
    (lambda: Tagger(bidirectional=True), X, r"'lstm\.l0' \(LSTM of module 'lstm'\) runs backwards over time"),
    (Mean, X, r"'ReduceMean' \(ReduceMean\) reduces over time, so it needs the whole of time"),
    (lambda: Summing(1), X, r"'CumSum' \(CumSum\) adds up steps, so it needs the whole of time"),
    (SelfAttention, X, r"of module 'attention'\) .*, so it needs the whole of time"),
    (Positional, X, r"chunks do not give the whole run's answer: output 'output' at .*chunks="),
    (FromData, [*X, f"hint: float32[batch, {HIDDEN}]"], "the initial h of gru.l0 is computed from the input 'hint'"),
    (Feedforward, X, "no recurrent operator"),
    (Feedforward, [f"x: float32[batch, width, {FEATURES}]"], "which axis is cut into chunks cannot be told"),
]


@pytest.mark.parametrize(("module", "inputs", "message"), REFUSED)
def test_what_needs_the_whole_of_time_is_refused(module, inputs, message, tmp_path):
    with pytest.raises(rnnx.errors.StreamingError, match=message):
        export(seeded(module), inputs=inputs, out=tmp_path / "s.rnnx", streaming="on")
    assert list(tmp_path.iterdir()) == []


def test_left_to_itself_the_export_says_why_there_is_none(tmp_path):
    exported = export(seeded(Mean), inputs=X, out=tmp_path / "s.rnnx")
    assert exported.streaming is None
    assert [one.key for one in exported.bundle.manifest.variants] == ["fp32-offline"]
    (note,) = exported.bundle.manifest.notes
    assert note.startswith("No streaming variant: 'ReduceMean' (ReduceMean) reduces over time")
    assert sorted(path.name for path in exported.bundle.path.iterdir()) == [
        "fp32-offline.onnx",
        "golden.npz",
        "manifest.json",
        "parity.json",
    ]


def test_it_can_be_switched_off(tmp_path):
    exported = export(seeded(Tagger), inputs=X, out=tmp_path / "s.rnnx", streaming="off")
    assert [one.key for one in exported.bundle.manifest.variants] == ["fp32-offline"]
    assert exported.bundle.manifest.notes == ()
    with pytest.raises(rnnx.errors.SignatureError, match="streaming is 'always'; it must be one of auto, on, off"):
        export(seeded(Tagger), inputs=X, out=tmp_path / "t.rnnx", streaming="always")
