"""The same model gives the same bytes, whatever the process did before and wherever it runs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rnnx.benchmarks.coverage import export_case
from rnnx.benchmarks.layer_cases import layer_cases

NAMES = (
    "LSTM packed",
    "GRU layers=2 bidirectional",
    "RNN state",
    "LSTM layers=1",
    "LSTM proj_size packed",
    "several, one called twice",
    "strided convolution",
    "GRU packed, to the longest row",
    "LSTMCell",
    "embedding, norms, convolution, dropout, attention",
)
ALONE = """
import sys
from pathlib import Path
from rnnx.benchmarks.coverage import export_case
from rnnx.benchmarks.layer_cases import layer_cases
case = next(case for case in layer_cases() if case.name == sys.argv[1])
export_case(case, Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_ten_exports_in_one_process_equal_ten_processes(tmp_path):
    cases = {case.name: case for case in layer_cases()}
    for number, name in enumerate(NAMES):
        together = tmp_path / "together" / str(number) / "case.rnnx"
        alone = tmp_path / "alone" / str(number) / "case.rnnx"
        for folder in (together, alone):
            folder.parent.mkdir(parents=True)
        export_case(cases[name], together)
        subprocess.run([sys.executable, "-c", ALONE, name, str(alone)], check=True, timeout=120, capture_output=True)
        files = sorted(path.name for path in together.iterdir())
        assert files == sorted(path.name for path in alone.iterdir())
        for file in files:
            assert (together / file).read_bytes() == (alone / file).read_bytes(), f"{name}: {file}"


def test_the_second_export_in_a_process_is_dynamic_too(tmp_path):
    # torch.onnx's own second export of an LSTM in one process freezes the time axis at the example's length.
    case = next(case for case in layer_cases() if case.name == "LSTM layers=1")
    export_case(case, tmp_path / "first.rnnx")
    second = export_case(case, tmp_path / "second.rnnx")
    assert {row.sizes["time"] for row in second.parity.rows} == {1, 2, 7, 33, 257}
    assert second.parity.passed
