"""Handwritten digits of 8 x 8 pixels, as scikit-learn brings them.

Kaynak (1995), Alpaydin and Kaynak (1998), "Cascading classifiers", Kybernetika 34(4): the test part of "Optical
Recognition of Handwritten Digits" of the UCI Machine Learning Repository, by 13 writers, who are not told apart.
"""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import numpy as np

from .packages import Package, find

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_FILE = "sklearn/datasets/data/digits.csv.gz"

PACKAGE = Package(
    kind="wheel",
    name="scikit-learn",
    version="1.9.1",
    licence="BSD-3-Clause",
    files={_FILE: "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"},
)


def load(folder: Path | None) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read the digits, in the source's order.

    Args:
        folder: see :func:`rnnx.models.datasets.packages.find`.

    Returns:
        Pixels, uint8 ``(1797, 64)``, row by row, 0 for paper to 16 for ink; and labels, int64 ``(1797,)``, 0 to 9.

    Raises:
        MissingDataError, AlteredDataError: see :func:`rnnx.models.datasets.packages.find`.
    """
    text = gzip.decompress(find(PACKAGE, folder)[_FILE].read_bytes()).decode()
    table = np.array([line.split(",") for line in text.split()], dtype=np.float64)
    return table[:, :-1].astype(np.uint8), table[:, -1].astype(np.int64)
