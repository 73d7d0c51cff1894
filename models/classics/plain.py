"""Simple recurrent networks in NumPy: the baselines, whose weights are committed with the systems."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_PHI: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    "tanh": np.tanh,
    "relu": lambda values: np.maximum(values, 0),
    "sigmoid": lambda values: 0.5 * (1 + np.tanh(0.5 * values)),  # the same, and no overflow
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Plain:
    """A network ``h_t = phi(W_ih x_t + W_hh h_{t-1} + b)``, ``y_t = W_o h_t + b_o``.

    Attributes:
        weights: float32, by the names of the module that was trained: ``recurrent.weight_ih`` ``(hidden, features)``,
            ``recurrent.weight_hh`` ``(hidden, hidden)``, ``recurrent.bias`` ``(hidden,)``, ``head.weight`` ``(outputs,
            hidden)`` and ``head.bias`` ``(outputs,)``.
        nonlinearity: ``tanh``, ``relu`` or ``sigmoid``.
    """

    weights: dict[str, NDArray[np.float32]]
    nonlinearity: str

    def run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Answer sequences: float32 ``(batch, time, features)`` -> ``(batch, time, outputs)``."""
        weights, phi = self.weights, _PHI[self.nonlinearity]
        projected = x @ weights["recurrent.weight_ih"].T + weights["recurrent.bias"]
        h = np.zeros((len(x), len(weights["recurrent.bias"])), np.float32)
        answers = []
        for t in range(x.shape[1]):
            h = phi(projected[:, t] + h @ weights["recurrent.weight_hh"].T)
            answers.append(h @ weights["head.weight"].T + weights["head.bias"])
        return np.stack(answers, axis=1)


def load(name: str, nonlinearity: str) -> Plain:
    """The network whose weights are committed as ``NAME.npz``."""
    with np.load(Path(__file__).with_name(f"{name}.npz"), allow_pickle=False) as archive:
        return Plain(weights=dict(archive), nonlinearity=nonlinearity)
