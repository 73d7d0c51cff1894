"""Models of every kind in int8 over their whole parity matrix: packed, projected, cells, loops, convolutions."""

from __future__ import annotations

import pytest

from rnnx.benchmarks.cell_cases import cell_cases
from rnnx.benchmarks.layer_cases import layer_cases, seeded
from rnnx.benchmarks.loop_cases import loop_cases
from rnnx.benchmarks.stream_cases import stream_cases
from rnnx.exporters import export
from rnnx.exporters.passes import int8
from rnnx.exporters.quantization.quantize import quantize
from rnnx.runtime.verify import verify

CASES = {case.name: case for case in (*layer_cases(), *cell_cases(), *loop_cases(), *stream_cases())}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "LSTM packed",
        "GRU layers=2 bidirectional time first no bias",
        "RNN unbatched, state",
        "LSTM proj_size packed",
        "shared weights",
        "embedding, norms, convolution, dropout, attention",
        "PeepholeLSTM lengths, state",
        "stack of two cells",
        "loop that looks back",
        "residual block that looks ahead, LSTM",
        "every other frame",
    ],
)
def test_every_node_within_30_db(name, tmp_path, monkeypatch):
    # These models are tiny, so that weights of any size must count.
    monkeypatch.setattr(int8, "SMALLEST", 8)
    case = CASES[name]
    path = tmp_path / "case.rnnx"
    fp32 = export(
        seeded(case), inputs=case.inputs, lengths=case.lengths, states=case.states, example=case.example, out=path
    ).bundle
    made = quantize(path)
    assert made.nodes
    assert all(one.precision == "int8" for one in made.nodes)
    assert made.loss >= 30
    assert [one.mode for one in made.variants] == [one.mode for one in fp32.manifest.variants]
    assert all(report.passed for report in made.parity)
    assert verify(path).passed
