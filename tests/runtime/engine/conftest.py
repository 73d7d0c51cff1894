"""A session that runs nothing and can be held up, and small exported models."""

from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest
import torch

import rnnx
from rnnx.errors import MissingFileError, SessionError
from rnnx.exporters import export
from rnnx.manifest import Tolerance, Variant
from rnnx.runtime.inputs import Feeder
from rnnx.signature import LengthsSpec, Signature, parse_tensor


class FakeBundle:
    """A bundle without golden vectors."""

    def golden(self):
        raise MissingFileError("no golden vectors")


class FakeSession:
    """Doubles ``x``; every run waits for its gate, and fails where a row holds -666. It keeps what it ran."""

    def __init__(self, *, lengths=False, ranges=(), operators=None):
        inputs = [parse_tensor("x: float32[batch, time]")]
        inputs += [parse_tensor("lengths: int64[batch]")] if lengths else []
        self.signature = Signature(
            inputs=tuple(inputs),
            outputs=(parse_tensor("y: float32[batch, time]"), parse_tensor("z: float32[batch, time]")),
            lengths=(LengthsSpec(name="lengths", axis="time"),) if lengths else (),
            ranges=tuple(ranges),
        )
        self.variant = Variant(
            precision="fp32",
            mode="offline",
            file="x.onnx",
            opset=20,
            tolerance=Tolerance(atol=1e-5, floor=1e-3),
            operators=operators or {},
        )
        self.bundle = FakeBundle()
        self._feeder = Feeder(self.signature)
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Semaphore(0)
        self.runs = []
        self.asked = []

    def opened(self):
        return self

    def check(self, inputs, lengths=None, outputs=None):
        return self._feeder.feed(inputs, lengths), ["y", "z"] if outputs is None else list(outputs)

    def run(self, inputs, lengths=None, *, outputs=None):
        feed = self._feeder.feed(inputs, lengths)
        self.begun.release()
        assert self.gate.wait(30)
        x = feed["x"]
        if (x == -666).any():
            raise SessionError("the devil is in it")
        self.runs.append(x[:, 0].tolist())
        self.asked.append(list(outputs))
        return {name: x * {"y": 2, "z": 3}[name] for name in outputs}


@pytest.fixture
def make_fake():
    """The class :class:`FakeSession`."""
    return FakeSession


@pytest.fixture
def fake():
    """A fake session without lengths."""
    session = FakeSession()
    yield session
    session.gate.set()


@pytest.fixture
def row():
    """``row(3, time=2)``: one row of threes."""
    return lambda value, time=1: {"x": np.full((1, time), value, np.float32)}


class Packed(torch.nn.Module):
    """Both directions over packed sequences, and which unit is the largest: an integer output."""

    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(3, 8, batch_first=True, bidirectional=True)

    def forward(self, x, lengths):
        packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        outputs, (h_n, _) = self.lstm(packed)
        y, _ = torch.nn.utils.rnn.pad_packed_sequence(outputs, batch_first=True)
        return y, y.argmax(-1), h_n


class Strided(torch.nn.Module):
    """Every two frames become one, then a packed GRU: an output axis of ``time//2``."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv1d(3, 6, 2, stride=2)
        self.gru = torch.nn.GRU(6, 5, batch_first=True)

    def forward(self, x, lengths):
        frames = self.conv(x.transpose(1, 2)).transpose(1, 2)
        packed = torch.nn.utils.rnn.pack_padded_sequence(frames, lengths // 2, batch_first=True, enforce_sorted=False)
        return torch.nn.utils.rnn.pad_packed_sequence(self.gru(packed)[0], batch_first=True)[0]


class Stacked(torch.nn.Module):
    """A causal convolution that takes every second frame, and an LSTM: frames wait in its stream's state."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv1d(3, 6, 3, stride=2)
        self.lstm = torch.nn.LSTM(6, 5, batch_first=True)

    def forward(self, x):
        return self.lstm(self.conv(torch.nn.functional.pad(x.transpose(1, 2), (2, 0))).transpose(1, 2))[0]


class Ahead(torch.nn.Module):
    """A convolution that looks one frame ahead, and an LSTM: the first run of its stream is another than the next."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv1d(3, 6, 3, padding=1)
        self.lstm = torch.nn.LSTM(6, 5, batch_first=True)

    def forward(self, x):
        return self.lstm(self.conv(x.transpose(1, 2)).transpose(1, 2))[0]


MODELS = {
    "packed": (Packed, {"lengths": ["lengths"]}),
    "strided": (Strided, {"lengths": ["lengths"], "ranges": {"time": (2, None)}}),
    "gru": (lambda: torch.nn.GRU(3, 6, batch_first=True), {}),
    "lstm": (lambda: torch.nn.LSTM(3, 6, 2, batch_first=True), {"streaming": "on"}),
    "stacked": (Stacked, {"streaming": "on"}),
    "ahead": (Ahead, {"streaming": "on"}),
}


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """``exported("gru")``: path of that model's bundle."""
    done, counter = {}, itertools.count()

    def make(name):
        if name not in done:
            torch.manual_seed(next(counter))
            make_module, options = MODELS[name]
            inputs = {
                ("x" if name in {"packed", "strided", "stacked", "ahead"} else "input"): "float32[batch, time, 3]"
            }
            path = tmp_path_factory.mktemp("engine") / f"{name}.rnnx"
            export(make_module().eval(), inputs=inputs, out=path, **options)
            done[name] = path
        return done[name]

    return make


@pytest.fixture(scope="session")
def load(exported):
    """``load("gru", mode="streaming")``: a session of it, opened once."""
    opened = {}

    def make(name, mode="offline"):
        if (name, mode) not in opened:
            opened[name, mode] = rnnx.load(exported(name), provider="cpu", threads=1, mode=mode)
        return opened[name, mode]

    yield make
    for session in opened.values():
        session.close()
