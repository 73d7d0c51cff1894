"""Recurrent models as people write them: a cell, and a Python loop over time. Their cells are torch's own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .layer_models import FEATURES, HIDDEN


class Celled(nn.Module):
    """What the models here have in common: two cells and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(FEATURES, HIDDEN)
        self.lstm = nn.LSTMCell(FEATURES, HIDDEN)
        self.back = nn.GRUCell(FEATURES, HIDDEN)
        self.head = nn.Linear(HIDDEN, 2)


class Ranged(Celled):
    """``for t in range(x.size(1))``, and the head on every step."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scores ``(batch, time, 2)`` and the last hidden state."""
        h = x.new_zeros(x.size(0), HIDDEN)
        outs = []
        for t in range(x.size(1)):
            h = self.cell(x[:, t], h)
            outs.append(self.head(h))
        return torch.stack(outs, dim=1), h


class Unbound(Celled):
    """``for x_t in x.unbind(1)``, an LSTM cell whose state begins as None, and ``+=``."""

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        """Hidden states ``(batch, time, hidden)`` and the last pair."""
        state = None
        outs: list[Tensor] = []
        for x_t in x.unbind(1):
            state = self.lstm(x_t, state)
            outs += [state[0]]
        return torch.stack(outs, 1), state


class TimeFirst(Celled):
    """A loop over a tensor itself, two lists, ``cat`` of what was unsqueezed, and the last output of all."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Hidden states, cell states and the last scores."""
        h = torch.zeros(x.size(1), HIDDEN)
        c = torch.zeros(x.size(1), HIDDEN)
        hidden: list[Tensor] = []
        cells: list[Tensor] = []
        for x_t in x:
            h, c = self.lstm(x_t, (h, c))
            scores = self.head(h)
            hidden = hidden + [h.unsqueeze(0)]  # noqa: RUF005  (a way that people write it)
            cells.append(c)
        return torch.cat(hidden, 0), torch.cat([one.unsqueeze(1) for one in cells], dim=1), scores


class Backwards(Celled):
    """Ahead and back by hand: descending numbers, ``insert`` at the front, a list turned, and one comprehension."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Both directions side by side, and once more with a mirrored index."""
        ahead, turned, mirrored = [], [], []
        back: list[Tensor] = []
        h = b = m = x.new_zeros(x.shape[0], HIDDEN)
        for t in range(x.shape[1]):
            h = self.cell(x[:, t, :], h)
            ahead.append(h)
        for t in range(x.shape[1] - 1, -1, -1):
            b = self.back(x[:, t], b)
            back.insert(0, b)
            turned.append(b)
        turned.reverse()
        steps = x.shape[1]
        for step in range(steps):
            t = steps - 1 - step
            m = self.back(x[:, t], m)
            mirrored.append(m)
        both = [torch.cat((one, other), -1) for one, other in zip(ahead, back, strict=True)]
        return torch.stack(both, 1), torch.stack(turned, 1) - torch.stack(mirrored[::-1], 1) + torch.stack(mirrored, 1)


class Layered(nn.Module):
    """Layers in a list of states, a loop over layers in the loop over time, in a method of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.ModuleList([nn.LSTMCell(FEATURES, HIDDEN), nn.LSTMCell(HIDDEN, HIDDEN)])

    def start(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Zeros for every layer."""
        zeros = [torch.zeros(x.size(0), HIDDEN) for _ in self.cells]
        return zeros, [one.clone() for one in zeros]

    def run(self, x: Tensor, h: list[Tensor], c: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """All layers, step by step; the states change in place."""
        outs = []
        for t, frame in enumerate(x.unbind(1)):
            below = frame
            for layer, cell in enumerate(self.cells):
                h[layer], c[layer] = cell(below, (h[layer], c[layer]))
                below = h[layer]
            outs.append((below, frame * t))
        return outs

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The upper layer's hidden states, and frames times their number."""
        outs = self.run(x, *self.start(x))
        return torch.stack([one for one, _ in outs], 1), torch.stack([other for _, other in outs], 1)


class Buffered(Celled):
    """Results written into tensors that stand ready, in both directions; a count and a running maximum."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Hidden states of both directions, their mean ahead, and the maximum so far at each step."""
        batch, steps, _ = x.shape
        out, back = x.new_zeros(batch, steps, HIDDEN), torch.empty(steps, batch, HIDDEN)
        h, b = x.new_zeros(batch, HIDDEN), x.new_zeros(batch, HIDDEN)
        count, most, total = 0, x.new_full((), -1.0), torch.zeros(1, HIDDEN)
        maxima = []
        for t in range(steps):
            h = self.cell(x[:, t : t + 1].squeeze(1), h)
            out[:, t, :] = h
            count = count + 1
            total = total + h
            most = torch.maximum(most, h)
            maxima.append(most)
        for t in reversed(range(steps)):
            b = self.back(x[:, t], b)
            back[t] = b
        return out, back, total / count, torch.stack(maxima, 1)


class Masked(Celled):
    """Lengths in the loop: past its row's end a state stays."""

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden states, zero past a row's length, and the last ones."""
        h = x.new_zeros(x.size(0), HIDDEN)
        outs = []
        for t in range(x.size(1)):
            going = (t < lengths).unsqueeze(-1)
            new = self.cell(x[:, t], h)
            h = torch.where(going, new, h)
            outs.append(new * going.float())
        return torch.stack(outs, 1), h


class LookingBack(Celled):
    """A list that begins with the first state and is looked back at, and the step before in the input."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden states without the first, and differences of steps."""
        hidden = [torch.zeros(x.size(0), HIDDEN)]
        for x_t in torch.chunk(x, x.size(1), dim=1):
            hidden.append(self.cell(x_t.squeeze(1), hidden[-1]))
        rises = [x[:, t] - x[:, t - 1] for t in range(x.size(1))]
        return torch.stack(hidden[1:], dim=1), torch.stack(rises, 1)


class Gridded(nn.Module):
    """Loops over two axes, one in the other: a cell that goes over rows and columns."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.RNNCell(FEATURES, HIDDEN)

    def forward(self, x: Tensor) -> Tensor:
        """Hidden states at the end of each row, ``(batch, rows, hidden)``."""
        h = x.new_zeros(x.size(0), HIDDEN)
        rows = []
        for i in range(x.size(1)):
            for j in range(x.size(2)):
                h = self.cell(x[:, i, j], h)
            rows.append(h)
        return torch.stack(rows, 1)


def run_cell(cell: nn.Module, frames: Any, state: Any) -> tuple[Tensor, Any]:  # noqa: ANN401
    """A loop in a function of the module, as torch's own custom LSTM benchmark has it."""
    outputs: list[Tensor] = []
    for i in range(len(frames)):
        state = cell(frames[i], state)
        outputs += [state[0]]
    return torch.stack(outputs), state


class Helped(Celled):
    """The loop is in a function that the forward calls, for two models of one class."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden states ``(time, batch, hidden)`` and the last cell state."""
        zeros = x.new_zeros(x.size(1), HIDDEN)
        hidden, (_, c) = run_cell(self.lstm, x.unbind(0), (zeros, zeros))
        return hidden, c


class Bidirectional(nn.Module):
    """One direction a module, and a wrapper around both."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead, self.behind = Direction(), Direction(backwards=True)

    def forward(self, x: Tensor) -> Tensor:
        """Both directions side by side."""
        return torch.cat((self.ahead(x), self.behind(x)), dim=-1)


class Direction(nn.Module):
    """A loop whose order an option decides, over what another loop collected."""

    def __init__(self, *, backwards: bool = False) -> None:
        super().__init__()
        self.cell = nn.GRUCell(HIDDEN, HIDDEN)
        self.front = nn.Linear(FEATURES, HIDDEN)
        self.backwards = backwards

    def forward(self, x: Tensor) -> Tensor:
        """Hidden states in the order of time."""
        frames = [self.front(one) for one in x.unbind(1)]
        if self.backwards:
            frames = frames[::-1]  # noqa: FURB187  (reverse() is below)
        h = x.new_zeros(x.size(0), HIDDEN)
        outs = []
        for frame in frames:
            h = self.cell(frame, h)
            outs.append(h)
        if self.backwards:
            outs.reverse()
        return torch.stack(outs, dim=1)
