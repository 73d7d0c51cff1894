"""A small system of the zoo, made here: which of two tones a row of numbers is, by a GRU over ragged rows."""

from __future__ import annotations

import json
import sys
import types
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from rnnx.errors import MissingDataError
from rnnx.models.zoo import registry
from rnnx.models.zoo.exporting import export_system
from rnnx.models.zoo.registry import Entry
from rnnx.models.zoo.system import Face, Metric, Score, System
from rnnx.models.zoo.weights import checkpoint_bytes

if TYPE_CHECKING:
    from pathlib import Path

FACE = Face(
    inputs=("features: float32[batch, time, 2]",),
    outputs=("frames", "logits"),
    lengths=("lengths",),
)


class Tones(nn.Module):
    """Float32 `(batch, time, 2)` -> a value for each frame, and two logits of the row."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(2, 48, batch_first=True)
        self.frames = nn.Linear(48, 1)
        self.head = nn.Linear(48, 2)

    def forward(self, features, lengths):
        packed = pack_padded_sequence(features, lengths.cpu(), batch_first=True, enforce_sorted=False)
        hidden, last = self.gru(packed)
        hidden, _ = nn.utils.rnn.pad_packed_sequence(hidden, batch_first=True, total_length=features.size(1))
        return self.frames(hidden), self.head(last[-1])


def build():
    return Tones()


def train(training):
    training.report(1, 1, "loss 0.5")
    torch.manual_seed(training.seed)
    return Tones().eval()


def held_out():
    generator = np.random.default_rng(0)
    lengths = generator.integers(2, 9, 24)
    features = generator.standard_normal((24, 8, 2)).astype(np.float32)
    return {"features": features, "lengths": lengths}


def evaluate(runner, examples):
    found = runner.run(examples)
    mask = np.arange(8) < examples["lengths"][:, None]
    inside = found["frames"][..., 0][:, : mask.shape[1]]
    total = np.where(mask[:, : inside.shape[1]], inside, 0.0).sum()
    value = float(found["logits"].argmax(axis=1).mean())
    return Score(value=value, count=24, details={"frames": float(total), "logits": float(found["logits"].sum())})


def evaluate_streams(runner, examples):
    stream = runner.stream()
    parts = [stream.push({"features": examples["features"][:, at : at + 2]})["logits"] for at in range(0, 8, 2)]
    stream.finish()
    return Score(value=float(parts[-1].argmax(axis=1).mean()), count=24)


def not_there():
    raise MissingDataError("the tones are not here: pip download tones")


def evaluate_to_nothing(_runner, _examples):
    return Score(value=float("nan"), count=1)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """The registry with the small system `tones` in it, its weights in a folder of the tests' own."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield _registered(monkeypatch, tmp_path_factory.mktemp("zoo"))


@pytest.fixture(scope="module")
def bundle(zoo, tmp_path_factory):
    """The bundle of `tones`, with its int8 variants."""
    return export_system("tones", tmp_path_factory.mktemp("bundle") / "tones.rnnx").bundle


def _registered(monkeypatch, tmp_path):
    home = types.ModuleType("rnnx.models.tones.system")
    metric = Metric(name="share of ones", unit="%", digits=1)

    class Local(System):
        @property
        def home(self) -> Path:
            return tmp_path

    def tones(score, examples=held_out):
        return Local(
            name="tones",
            build=build,
            train=train,
            face=FACE,
            assets=dict,
            held_out=examples,
            evaluate=score,
            metric=metric,
            int8_budget=0.1,
        )

    home.TONES = tones(evaluate)
    home.STREAMS = tones(evaluate_streams)
    home.BROKEN = tones(evaluate_to_nothing)
    home.UNMEASURED = tones(evaluate, not_there)
    monkeypatch.setitem(sys.modules, home.__name__, home)
    known = Entry(
        room="tones",
        constant="TONES",
        task="telling tones apart",
        architecture="GRU",
        data="made here",
        licence="none",
        limits="It was never trained.",
    )
    monkeypatch.setitem(registry.ZOO, "tones", known)
    monkeypatch.setattr(registry, "_MODELS", tmp_path / "models")
    torch.manual_seed(5)
    content = checkpoint_bytes(Tones(), {"system": "tones"})
    (tmp_path / "tones.safetensors").write_bytes(content)
    card = tmp_path / "models" / "tones"
    card.mkdir(parents=True)
    said = {"name": "share of ones", "unit": "%", "higher_is_better": True, "digits": 1}
    (card / "tones.json").write_text(json.dumps({"metric": said, "results": [{"value": 0.25}], "bundle_bytes": 1234}))
    return home
