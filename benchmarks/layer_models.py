"""Small models around torch's recurrent modules, as people write them; see layer_cases.py for all their options."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

FEATURES, HIDDEN, PROJECTED, VOCABULARY = 6, 8, 3, 30


class Padded(nn.Module):
    """A recurrent module on its own, over whole arrays."""

    def __init__(self, rnn: nn.Module) -> None:
        super().__init__()
        self.rnn = rnn

    def forward(self, x: Tensor) -> Any:  # noqa: ANN401  (torch's own nested answer)
        """The module's own answer."""
        return self.rnn(x)


class Stateful(Padded):
    """The same with an initial state."""

    def forward(self, x: Tensor, hx: Any = None) -> Any:  # noqa: ANN401
        """The module's own answer."""
        return self.rnn(x, hx)


class Packed(nn.Module):
    """Packed in and out, its answer as long as the longest row or as the input."""

    def __init__(self, rnn: nn.RNNBase, *, enforce_sorted: bool = False, whole: bool = True) -> None:
        super().__init__()
        self.rnn, self.enforce_sorted, self.whole = rnn, enforce_sorted, whole

    def forward(self, x: Tensor, lengths: Tensor) -> Any:  # noqa: ANN401
        """Padded outputs and the final state."""
        first = self.rnn.batch_first
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=first, enforce_sorted=self.enforce_sorted)
        packed, state = self.rnn(packed)
        total = x.size(1 if first else 0) if self.whole else None
        y, _ = pad_packed_sequence(packed, batch_first=first, total_length=total)
        return y, state


class Summary(nn.Module):
    """Packed, of which only the final state is used; lengths stay where they are."""

    def __init__(self, rnn: nn.RNNBase) -> None:
        super().__init__()
        self.rnn = rnn

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """The last layer's final state, ``(batch, hidden)``."""
        _, state = self.rnn(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
        h_n = state[0] if isinstance(state, tuple) else state
        last: Tensor = h_n[-1]
        return last


class Filled(nn.Module):
    """Work on a packed sequence's own data, and a padding value that is not zero."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(FEATURES, FEATURES)
        self.rnn = nn.GRU(FEATURES, HIDDEN, batch_first=True)
        self.head = nn.Linear(HIDDEN, 4)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Scores, -1 in the padding."""
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        packed = packed._replace(data=self.embed(packed.data).tanh())
        packed, _ = self.rnn(packed)
        packed = PackedSequence(
            self.head(packed.data), packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices
        )
        y, _ = pad_packed_sequence(packed, batch_first=True, padding_value=-1.0, total_length=x.size(1))
        return y


class Several(nn.Module):
    """Different recurrent modules in one model, one of them called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(FEATURES, HIDDEN, batch_first=True)
        self.lstm = nn.LSTM(HIDDEN, HIDDEN, batch_first=True)
        self.rnn = nn.RNN(HIDDEN, FEATURES, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """float32 ``(batch, time, hidden)``."""
        y, _ = self.gru(x)
        y, _ = self.lstm(y)
        y, _ = self.rnn(y)
        z: Tensor
        z, _ = self.gru(y)
        return z


class Shared(nn.Module):
    """Two modules with the same weights."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.LSTM(FEATURES, FEATURES, batch_first=True)
        self.second = nn.LSTM(FEATURES, FEATURES, batch_first=True)
        for name, parameter in self.first.named_parameters():
            setattr(self.second, name, parameter)

    def forward(self, x: Tensor) -> Tensor:
        """float32 ``(batch, time, features)``."""
        y: Tensor
        y, _ = self.second(self.first(x)[0])
        return y


class WeightNorm(Padded):
    """Weights that the model computes."""

    def __init__(self) -> None:
        lstm = nn.LSTM(FEATURES, HIDDEN, batch_first=True, bidirectional=True)
        super().__init__(nn.utils.parametrizations.weight_norm(lstm, "weight_hh_l0"))


class Tower(nn.Module):
    """Embedding, norms, convolution, dropout and attention around a stack of layers."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, FEATURES)
        self.norm = nn.LayerNorm(FEATURES)
        self.conv = nn.Conv1d(FEATURES, FEATURES, 3, padding=1)
        self.batch_norm = nn.BatchNorm1d(FEATURES)
        self.rnn = nn.LSTM(FEATURES, HIDDEN, 3, batch_first=True, dropout=0.5)
        self.attention = nn.MultiheadAttention(HIDDEN, 2, batch_first=True)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Scores a frame, and their mean over time."""
        embedded = self.norm(self.embedding(x))
        filtered = self.batch_norm(self.conv(embedded.transpose(1, 2))).transpose(1, 2)
        y, _ = self.rnn(filtered)
        attended, _ = self.attention(y, y, y, need_weights=False)
        return {"scores": attended, "pooled": attended.mean(1)}


class Strided(nn.Module):
    """A strided convolution before the layer: an output axis that is an expression of the input's."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(FEATURES, HIDDEN, 5, stride=2)
        self.rnn = nn.GRU(HIDDEN, HIDDEN, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """float32 ``(batch, (time - 5) // 2 + 1, hidden)``."""
        y: Tensor
        y, _ = self.rnn(self.conv(x.transpose(1, 2)).transpose(1, 2))
        return y
