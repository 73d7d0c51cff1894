"""A tiny bundle with both modes, its source and checkpoint; and reports made by hand."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import torch

from rnnx.benchmarks.bench.candidates import Spec
from rnnx.benchmarks.bench.ceilings import Ceilings, Level
from rnnx.benchmarks.bench.intervals import latency, noise, paired_ratio, round_medians
from rnnx.benchmarks.bench.report import Agreement, Cell, Report, Row
from rnnx.benchmarks.bench.roofline import Roofline
from rnnx.benchmarks.bench.schedule import WarmUp
from rnnx.exporters import export, load_source

if TYPE_CHECKING:
    from pathlib import Path

FEATURES = 3
SOURCE = f"""
import torch
from torch import nn

class Tagger(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        torch.manual_seed(0)
        self.rnn = nn.LSTM({FEATURES}, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 2)

    def forward(self, x):
        frames, _ = self.rnn(x)
        scores = self.head(frames)
        return scores

def build(hidden=4):
    return Tagger(hidden)
"""


@dataclass(frozen=True, kw_only=True)
class Tiny:
    """Paths of what a benchmark needs."""

    bundle: str
    source: str
    checkpoint: str


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """An LSTM of four units: its bundle, and the source that torch's peers run."""
    folder: Path = tmp_path_factory.mktemp("tiny")
    source = folder / "tagger.py"
    source.write_text(SOURCE, encoding="utf-8")
    module = load_source(f"{source}:build").module
    torch.save(module.state_dict(), folder / "weights.pt")
    export(module, inputs={"x": f"float32[batch, time, {FEATURES}]"}, out=folder / "tiny.rnnx")
    return Tiny(bundle=str(folder / "tiny.rnnx"), source=f"{source}:build", checkpoint=str(folder / "weights.pt"))


@pytest.fixture
def build() -> SimpleNamespace:
    """Builders of rows and reports: ``row``, ``report``, and the ``machine`` that they ran on."""
    return SimpleNamespace(row=make_row, report=make_report, machine=MACHINE)


def make_row(engine, rounds, reference, *, is_reference=False, batch=1, time=10, agrees=True, error=1e-7):
    """A row whose durations are given, in nanoseconds by round."""
    cell = Cell(mode="offline", threads=1, batch=batch, time=time, sizes={"batch": batch, "time": time})
    medians = round_medians(rounds)
    found = latency(rounds)
    bound = Roofline(
        float_ops=2_000_000,
        int8_ops=0,
        other_ops=10,
        weight_bytes=1000,
        total_bytes=400_000,
        least_ms=0.01,
        limit="L2 cache",
    )
    return Row(
        spec=Spec(engine=engine, precision="fp32", provider="cpu", mode="offline", threads=1),
        cell=cell,
        note="",
        latency=found,
        ratio=paired_ratio(reference, rounds, seed=0),
        is_reference=is_reference,
        noise=noise(medians),
        warm_up=WarmUp(runs=10, seconds=0.1, stable=True, typical_ns=1e5),
        rounds_ms=tuple(medians.tolist()),
        sequences_per_s=batch / found.p50 * 1e3,
        frames_per_s=batch * time / found.p50 * 1e3,
        real_time_factor=None,
        joules=None,
        preempted=0.0,
        agreement=Agreement(max_abs_diff=error, allowed=1e-5, sqnr_db=120.0, agrees=agrees),
        roofline=bound.at(found.p50),
    )


MACHINE = {
    "cpu": "A Processor <of> 3 & a half",
    "flags": ["avx2"],
    "caches_kib": {"L1": 32, "L2": 1024},
    "cores": 2,
    "affinity": [0, 1],
    "governor": None,
    "memory_gib": 16.0,
    "gpu": None,
    "system": "Linux 6",
    "load_before": 0.1,
    "environment": {},
    "python": "3.11.7",
    "versions": {"rnnx": "0.1.0", "onnxruntime": "1.31"},
}


def make_report(rows, **changes):
    """A whole report around rows."""
    values = {
        "bundle": {"path": "tiny.rnnx", "name": "tiny", "sha256": "0" * 64},
        "created": "2026-01-01T00:00:00+00:00",
        "request": {},
        "machine": MACHINE,
        "ceilings": (
            Ceilings(
                threads=1,
                float_gops=200.0,
                int8_gops=800.0,
                levels=(
                    Level(name="L2 cache", up_to_bytes=1 << 20, gb_per_s=200.0),
                    Level(name="memory", up_to_bytes=0, gb_per_s=20.0),
                ),
                first_bytes=32768,
            ),
        ),
        "rows": tuple(rows),
        "seconds": 1.0,
    }
    return Report(**(values | changes))
