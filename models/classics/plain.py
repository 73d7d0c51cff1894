"""Recurrent networks in NumPy: those that the systems are compared with, whose weights are committed beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[np.float32]
    #: From what the input and what the state before give the gates, ``(batch, gates * hidden)`` each, and the state
    #: before, ``(parts, batch, hidden)``: the state after, of which the first part is what is seen.
    Step: TypeAlias = Callable[[Array, Array, Array], Array]


def _logistic(values: Array) -> Array:
    halved: Array = np.tanh(0.5 * values)
    return 0.5 * (1 + halved)  # 1 / (1 + exp(-values)) that does not overflow


def _simple(phi: Callable[[Array], Array]) -> Step:
    """``h_t = phi(W x_t + R h_{t-1} + b)``."""

    def step(given: Array, recurred: Array, _state: Array) -> Array:
        return phi(given + recurred)[np.newaxis]

    return step


def _lstm(given: Array, recurred: Array, state: Array) -> Array:
    """As torch's LSTM: gates in the order input, forget, cell, output."""
    i, f, g, o = np.split(given + recurred, 4, axis=1)
    c = _logistic(f) * state[1] + _logistic(i) * np.tanh(g)
    return np.stack([_logistic(o) * np.tanh(c), c])


def _gru(given: Array, recurred: Array, state: Array) -> Array:
    """As torch's GRU: gates in the order reset, update, new; the reset gate stands behind the recurrent product."""
    size = state.shape[2]
    r, z = np.split(_logistic(given[:, : 2 * size] + recurred[:, : 2 * size]), 2, axis=1)
    n = np.tanh(given[:, 2 * size :] + r * recurred[:, 2 * size :])
    h: Array = (1 - z) * n + z * state[0]
    return h[np.newaxis]


#: By the name of the layer in :data:`.networks.LAYERS`: a step, and of how many parts its state is.
_STEPS: dict[str, tuple[Step, int]] = {
    "elman": (_simple(_logistic), 1),
    "tanh": (_simple(np.tanh), 1),
    "relu": (_simple(lambda values: np.maximum(values, 0)), 1),
    "irnn": (_simple(lambda values: np.maximum(values, 0)), 1),
    "gru": (_gru, 1),
    "lstm": (_lstm, 2),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Plain:
    """One recurrent layer that begins at zeros, and a linear one, ``y_t = W_o h_t + b_o``.

    Attributes:
        weights: float32: ``recurrent.weight_ih`` ``(gates * hidden, features)``, ``recurrent.weight_hh`` ``(gates *
            hidden, hidden)``, ``recurrent.bias`` ``(gates * hidden,)``, ``recurrent.bias_hh`` alike for layers of
            torch's own, which add a second one to the recurrent product, ``head.weight`` ``(outputs, hidden)`` and
            ``head.bias`` ``(outputs,)``; see :func:`rnnx.models.classics.networks.weights_of`.
        layer: ``elman``, ``tanh``, ``relu``, ``irnn``, ``gru`` or ``lstm``.
    """

    weights: dict[str, Array]
    layer: str

    def run(self, x: Array) -> Array:
        """Answer sequences: float32 ``(batch, time, features)`` -> ``(batch, time, outputs)``."""
        weights, (step, parts) = self.weights, _STEPS[self.layer]
        given = x @ weights["recurrent.weight_ih"].T + weights["recurrent.bias"]
        recurrent = weights["recurrent.weight_hh"].T
        bias = weights.get("recurrent.bias_hh", np.float32(0))
        state = np.zeros((parts, len(x), len(recurrent)), np.float32)
        answers = []
        for t in range(x.shape[1]):
            state = step(given[:, t], state[0] @ recurrent + bias, state)
            answers.append(state[0] @ weights["head.weight"].T + weights["head.bias"])
        return np.stack(answers, axis=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Other:
    """A network that a system is compared with.

    Attributes:
        name: of its weights, without ``.npz``; behind its last ``_`` stands a layer of :class:`Plain`.
        about: what it is, for people.
        begun: the layer as it began, out of :data:`rnnx.models.classics.networks.LAYERS`.
        learning_rate: the highest.
        steps: of the training; None for as many as the system's own. All else is the system's own recipe.
    """

    name: str
    about: str
    begun: str
    learning_rate: float
    steps: int | None = None

    def load(self) -> Plain:
        """The network with its committed weights."""
        return load(self.name)


def load(name: str) -> Plain:
    """The network whose weights are committed as ``NAME.npz``, where NAME ends in ``_`` and the layer's name."""
    with np.load(Path(__file__).with_name(f"{name}.npz"), allow_pickle=False) as archive:
        return Plain(weights=dict(archive), layer=name.rpartition("_")[2])
