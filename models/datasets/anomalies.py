"""Signals with labelled anomalies, and sound ones to learn from, as the Python package `aeon` carries them.

`ecg`: `ecg-diff-count-3`, made with GutenTAG (P. Wenig, S. Schmidl and T. Papenbrock 2022, "TimeEval: A Benchmarking
Toolkit for Time Series Anomaly Detection Algorithms", PVLDB 15(12)): an artificial electrocardiogram.
`bleeding`: `135_UCR_Anomaly_InternalBleeding16` of the UCR anomaly archive (R. Wu and E. J. Keogh 2021, "Current Time
Series Anomaly Detection Benchmarks are Flawed and are Creating the Illusion of Progress", IEEE TKDE).
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from .packages import Package, find

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_ECG = "aeon/datasets/data/UnitTest/ecg-diff-count-3"
_BLEEDING = "aeon/datasets/data/KDD-TSAD_135/135_UCR_Anomaly_InternalBleeding16"

PACKAGE = Package(
    kind="wheel",
    name="aeon",
    version="1.6.0",
    licence="BSD-3-Clause",
    files={
        f"{_ECG}_TRAIN_NA.csv": "cb45388a065c2f8bd3dd745ad5f93d759d92d48aa9144dcbff5f4e2ffe1b7b73",
        f"{_ECG}_TRAIN_A.csv": "d1ab703124f9ad4359bdb6718bc01a75299fc0a79c23ca259c6235c67dee7be0",
        f"{_ECG}_TEST.csv": "39794565d99ccb4934f4955e45fc0fbe30397499ca38fd689f43a1d3e2518aec",
        f"{_BLEEDING}_TRAIN.csv": "a531b6f4f556b17c0321d144c3f6b4a7bdf5e8464b2218566181702e77962c2b",
        f"{_BLEEDING}_TEST.csv": "fe26577b94896943e8205d04d56bf2511fe05c008df535a1ec3826adff3597e2",
    },
)

_PARTS = {
    "ecg": {"sound": f"{_ECG}_TRAIN_NA.csv", "labelled": f"{_ECG}_TRAIN_A.csv", "test": f"{_ECG}_TEST.csv"},
    "bleeding": {"sound": f"{_BLEEDING}_TRAIN.csv", "test": f"{_BLEEDING}_TEST.csv"},
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Signal:
    """A signal of one channel, and where it is not sound.

    Attributes:
        values: float32 `(time,)`.
        anomalous: bool `(time,)`.
    """

    values: NDArray[np.float32]
    anomalous: NDArray[np.bool_]


def load_signals(which: Literal["ecg", "bleeding"], folder: Path | None = None) -> dict[str, Signal]:
    """Read one data set.

    Args:
        which: `ecg` or `bleeding`.
        folder: holds the unpacked package; None where it is installed.

    Returns:
        `sound`: without an anomaly, to learn from (10,000 steps; of `bleeding` 1,200). `labelled`, of `ecg` alone:
        10,000 steps with three anomalies, to choose settings by. `test`: 10,000 steps with three anomalies; of
        `bleeding` 7,501 with one, whose first 1,200 are those of `sound`.

    Raises:
        MissingDataError: the package is not there.
        AlteredDataError: it is another version's.
    """
    files = find(PACKAGE, folder)
    return {part: _read(files[name]) for part, name in _PARTS[which].items()}


def _read(file: Path) -> Signal:
    """Read a table of time stamp, value and label (0 or 1), below a header."""
    rows = list(csv.reader(io.StringIO(file.read_text(encoding="utf-8"))))[1:]
    # Parsed as float64 and rounded once: the float32 nearest to the digits of the source.
    numbers = np.array(rows, dtype=np.float64)
    return Signal(values=numbers[:, 1].astype(np.float32), anomalous=numbers[:, 2] > 0)
