"""A tiny LSTM with a known answer, to find out whether a provider really computes.

The ONNX file is package data, so that neither onnx nor a bundle is needed. Its weights are a formula, so that the
answer can be computed here in NumPy.
"""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .ort import OrtSession

FILE = "probe_lstm.onnx"
TIME, BATCH, FEATURES, HIDDEN = 5, 2, 4, 8

#: Largest difference allowed. CUDA and TensorRT multiply with TF32's 10 bits of mantissa by default.
ALLOWED = {"cpu": 1e-5, "cuda": 5e-3, "tensorrt": 5e-3, "openvino": 1e-5}
#: Of plug-ins: what their devices multiply with is not known; bfloat16 has 7 bits.
ALLOWED_ELSEWHERE = 2e-2


def model() -> bytes:
    """The ONNX file."""
    return resources.files(__package__).joinpath(FILE).read_bytes()


def max_abs_diff(session: OrtSession) -> float:
    """Largest absolute difference between a session's answer and NumPy's; NaN where the answer holds NaN."""
    found = session.run(["y"], {"x": _input()})[0]
    return float(np.abs(found - reference()).max())


def weights() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """float32 ``w (1, 4 * hidden, features)``, ``r (1, 4 * hidden, hidden)`` and ``b (1, 8 * hidden)``."""
    return _wave(1, 4 * HIDDEN, FEATURES), _wave(1, 4 * HIDDEN, HIDDEN), _wave(1, 8 * HIDDEN)


def reference() -> NDArray[np.float64]:
    """The answer, ``(time, 1, batch, hidden)``, by the formulas of the ONNX operator's documentation."""
    w, r, b = (one[0].astype(np.float64) for one in weights())
    x = _input().astype(np.float64)
    h = c = np.zeros((BATCH, HIDDEN))
    y = np.empty((TIME, 1, BATCH, HIDDEN))
    for step in range(TIME):
        # ONNX orders the gates i, o, f, c; torch has i, f, g, o.
        gates = x[step] @ w.T + h @ r.T + b[: 4 * HIDDEN] + b[4 * HIDDEN :]
        i, o, f, g = np.split(gates, 4, axis=1)
        c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
        h = _sigmoid(o) * np.tanh(c)
        y[step, 0] = h
    return y


def _input() -> NDArray[np.float32]:
    return _wave(TIME, BATCH, FEATURES)


def _wave(*shape: int) -> NDArray[np.float32]:
    """Values between -1 and 1 without a pattern that a swapped axis would hide."""
    values: NDArray[np.float64] = np.sin(np.arange(np.prod(shape)) ** 1.5)
    return values.reshape(shape).astype(np.float32)


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    y: NDArray[np.float64] = 1 / (1 + np.exp(-x))
    return y
