"""An LSTM and a GRU whose summed inputs are normalised: Ba, Kiros and Hinton (2016), arXiv:1607.06450.

The paper begins with gains of 1. There an untrained LSTM is chaotic: over a few hundred steps float32 and float64
part, so no two machines agree. The cells here begin with 0.1, as Cooijmans et al. (2017), arXiv:1603.09025, advise
for normalised recurrences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import linear

from ...exporters.scanning import scan
from .beginning import check, uniform, zeros

if TYPE_CHECKING:
    from torch import Tensor


def _norm(size: int, gain: float, eps: float) -> nn.LayerNorm:
    norm = nn.LayerNorm(size, eps=eps)
    nn.init.constant_(norm.weight, gain)
    return norm


class LayerNormLSTM(nn.Module):
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
        super().__init__()
        self.hidden_size, self.reverse = hidden_size, reverse
        self.weight_ih = uniform(4 * hidden_size, input_size, fan=hidden_size)
        self.weight_hh = uniform(4 * hidden_size, hidden_size, fan=hidden_size)
        self.bias = uniform(4 * hidden_size, fan=hidden_size) if bias else None
        self.norm_ih = _norm(4 * hidden_size, gain, eps)
        self.norm_hh = _norm(4 * hidden_size, gain, eps)
        self.norm_c = _norm(hidden_size, gain, eps)

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor] | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run over whole sequences.

        Args:
            x: float32 ``(batch, time, features)``.
            state: ``(h_0, c_0)``, each float32 ``(batch, hidden)``.
            lengths: int64 ``(batch,)``.

        Returns:
            Every ``h_t``, float32 ``(batch, time, hidden)``, and ``(h_n, c_n)``.

        Raises:
            ShapeError: ``x`` has another shape.
        """
        check(x, self.weight_ih)

        def step(state: tuple[Tensor, Tensor], projected: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
            h, c = state
            i, f, g, o = (projected + self.norm_hh(linear(h, self.weight_hh))).chunk(4, dim=-1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(self.norm_c(c))
            return (h, c), h

        projected = self.norm_ih(linear(x, self.weight_ih))
        if self.bias is not None:
            projected = projected + self.bias
        begin = (zeros(x, self.hidden_size), zeros(x, self.hidden_size)) if state is None else tuple(state)
        final, output = scan(step, begin, projected, reverse=self.reverse, lengths=lengths)
        return output, final


class LayerNormGRU(nn.Module):
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
        super().__init__()
        self.hidden_size, self.reverse = hidden_size, reverse
        self.weight_ih = uniform(3 * hidden_size, input_size, fan=hidden_size)
        self.weight_hh = uniform(3 * hidden_size, hidden_size, fan=hidden_size)
        self.bias = uniform(3 * hidden_size, fan=hidden_size) if bias else None
        self.norm_ih = _norm(2 * hidden_size, gain, eps)
        self.norm_hh = _norm(2 * hidden_size, gain, eps)
        self.norm_in = _norm(hidden_size, gain, eps)
        self.norm_hn = _norm(hidden_size, gain, eps)

    def forward(self, x: Tensor, state: Tensor | None = None, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Run over whole sequences.

        Args:
            x: float32 ``(batch, time, features)``.
            state: ``h_0``, float32 ``(batch, hidden)``.
            lengths: int64 ``(batch,)``.

        Returns:
            Every ``h_t``, float32 ``(batch, time, hidden)``, and the last, ``(batch, hidden)``.

        Raises:
            ShapeError: ``x`` has another shape.
        """
        check(x, self.weight_ih)
        parts = [2 * self.hidden_size, self.hidden_size]

        def step(h: Tensor, projected: Tensor) -> tuple[Tensor, Tensor]:
            gates_x, n_x = torch.split(projected, parts, dim=-1)
            gates_h, n_h = torch.split(linear(h, self.weight_hh), parts, dim=-1)
            r, z = torch.sigmoid(gates_x + self.norm_hh(gates_h)).chunk(2, dim=-1)
            n = torch.tanh(n_x + r * self.norm_hn(n_h))
            h = z * h + (1 - z) * n
            return h, h

        gates, n = torch.split(linear(x, self.weight_ih), parts, dim=-1)
        projected = torch.cat((self.norm_ih(gates), self.norm_in(n)), dim=-1)
        if self.bias is not None:
            projected = projected + self.bias
        h_0 = zeros(x, self.hidden_size) if state is None else state
        h_n, output = scan(step, h_0, projected, reverse=self.reverse, lengths=lengths)
        return output, h_n
