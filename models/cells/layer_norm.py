"""An LSTM and a GRU whose summed inputs are normalised: Ba, Kiros and Hinton (2016).

"Layer normalization", arXiv:1607.06450. The paper begins with gains of 1. There an untrained LSTM is chaotic: over a
few hundred steps float32 and float64 part, so no two machines agree. The cells here begin with 0.1, as Cooijmans,
Ballas, Laurent, Gulcehre and Courville (2017), "Recurrent batch normalization", ICLR, arXiv:1603.09025, do in
normalised recurrences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import linear

from .cell import HiddenCell, MemoryCell

if TYPE_CHECKING:
    from torch import Tensor

    from .cell import Step


def _norm(size: int, gain: float, eps: float) -> nn.LayerNorm:
    norm = nn.LayerNorm(size, eps=eps)
    nn.init.constant_(norm.weight, gain)
    return norm


def _plus(projected: Tensor, bias: Tensor | None) -> Tensor:
    return projected if bias is None else projected + bias


class LayerNormLSTM(MemoryCell):
    """LSTM with layer normalisation.

        (i, f, g, o) = LN(W_ih x_t) + LN(W_hh h_{t-1}) + b
        c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(g)
        h_t = sigmoid(o) * tanh(LN(c_t))

    Each LN has its own gain and bias and goes over all four gates together, the last one over the cell. What the
    cell carries on is not normalised.

    Args:
        input_size: features of a step.
        hidden_size: size of the state.
        gain: that every LN begins with.
        eps: added to a variance.
        bias: whether there is one beside those of the LNs.
        reverse: begin at the last step.

    Attributes:
        weight_ih: float32 ``(4 hidden, features)``, gates ``i f g o``.
        weight_hh: float32 ``(4 hidden, hidden)``.
        bias: float32 ``(4 hidden,)``, or None.
        norm_ih: of the input's part, over ``4 hidden``.
        norm_hh: of the state's part, over ``4 hidden``.
        norm_c: of the cell, over ``hidden``.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        gain: float = 0.1,
        eps: float = 1e-5,
        bias: bool = True,
        reverse: bool = False,
    ) -> None:
        super().__init__(hidden_size, reverse=reverse)
        self.draw(input_size, gates=4, bias=bias)
        self.norm_ih = _norm(4 * hidden_size, gain, eps)
        self.norm_hh = _norm(4 * hidden_size, gain, eps)
        self.norm_c = _norm(hidden_size, gain, eps)

    def project(self, x: Tensor) -> Tensor:
        """``LN(W_ih x_t) + b``, for all steps at once."""
        return _plus(self.norm_ih(linear(x, self.weight_ih)), self.bias)

    def make_step(self) -> Step:
        """One step of the formula above."""

        def step(state: tuple[Tensor, Tensor], projected: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
            h, c = state
            i, f, g, o = (projected + self.norm_hh(linear(h, self.weight_hh))).chunk(4, dim=-1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(self.norm_c(c))
            return (h, c), h

        return step


class LayerNormGRU(HiddenCell):
    """GRU with layer normalisation.

        (r, z) = LN(W_rz x_t) + LN(R_rz h_{t-1}) + b_rz
        n_t = tanh(LN(W_n x_t) + sigmoid(r) * LN(R_n h_{t-1}) + b_n)
        h_t = sigmoid(z) * h_{t-1} + (1 - sigmoid(z)) * n_t

    ``r`` and ``z`` are normalised together, ``n`` by itself. The update gate keeps where it is open, as in torch's
    ``GRU``; the paper writes the same with ``1 - z`` for ``z``.

    Args:
        input_size: features of a step.
        hidden_size: size of the state.
        gain: that every LN begins with.
        eps: added to a variance.
        bias: whether there is one beside those of the LNs.
        reverse: begin at the last step.

    Attributes:
        weight_ih: float32 ``(3 hidden, features)``, gates ``r z n``.
        weight_hh: float32 ``(3 hidden, hidden)``.
        bias: float32 ``(3 hidden,)``, or None.
        norm_ih: of the input's part of ``r z``, over ``2 hidden``.
        norm_hh: of the state's part of ``r z``, over ``2 hidden``.
        norm_in: of the input's part of ``n``, over ``hidden``.
        norm_hn: of the state's part of ``n``, over ``hidden``.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        gain: float = 0.1,
        eps: float = 1e-5,
        bias: bool = True,
        reverse: bool = False,
    ) -> None:
        super().__init__(hidden_size, reverse=reverse)
        self.draw(input_size, gates=3, bias=bias)
        self.norm_ih = _norm(2 * hidden_size, gain, eps)
        self.norm_hh = _norm(2 * hidden_size, gain, eps)
        self.norm_in = _norm(hidden_size, gain, eps)
        self.norm_hn = _norm(hidden_size, gain, eps)

    def project(self, x: Tensor) -> Tensor:
        """``LN(W_rz x_t) + b_rz`` and ``LN(W_n x_t) + b_n`` side by side, for all steps at once."""
        gates, n = torch.split(linear(x, self.weight_ih), [2 * self.hidden_size, self.hidden_size], dim=-1)
        return _plus(torch.cat((self.norm_ih(gates), self.norm_in(n)), dim=-1), self.bias)

    def make_step(self) -> Step:
        """One step of the formula above."""
        parts = [2 * self.hidden_size, self.hidden_size]

        def step(h: Tensor, projected: Tensor) -> tuple[Tensor, Tensor]:
            gates_x, n_x = torch.split(projected, parts, dim=-1)
            gates_h, n_h = torch.split(linear(h, self.weight_hh), parts, dim=-1)
            r, z = torch.sigmoid(gates_x + self.norm_hh(gates_h)).chunk(2, dim=-1)
            n = torch.tanh(n_x + r * self.norm_hn(n_h))
            h = z * h + (1 - z) * n
            return h, h

        return step
