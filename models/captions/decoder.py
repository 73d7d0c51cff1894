"""The decoder of "Show, attend and tell": an LSTM that looks at the image before each word, and how much is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..seq2seq.attention import AdditiveAttention

#: Amounts are told in so many places, to be of the size of the other features.
_USUAL = 8

if TYPE_CHECKING:
    State = dict[str, Tensor]


class Amount(nn.Module):
    """How much of something there is: a sum over places whose weights are sigmoids of additive scores."""

    def __init__(self, query_size: int, value_size: int, attention_size: int, amount_size: int) -> None:
        """Make the layer: from a query of one size and values of another to an amount."""
        super().__init__()
        self.query = nn.Linear(query_size, attention_size, bias=False)
        self.key = nn.Linear(value_size, attention_size)
        self.score = nn.Linear(attention_size, 1)
        self.of_value = nn.Linear(value_size, amount_size)

    def memory(self, values: Tensor) -> State:
        """What depends on the values ``(batch, places, value_size)`` alone."""
        return {"amount_keys": self.key(values), "amount_values": self.of_value(values)}

    def forward(self, query: Tensor, memory: State) -> Tensor:
        """The amount ``(batch, amount_size)`` that a query ``(batch, query_size)`` finds."""
        scores = self.score(torch.tanh(self.query(query).unsqueeze(1) + memory["amount_keys"]))
        found: Tensor = (torch.sigmoid(scores) * memory["amount_values"]).sum(1) / _USUAL
        return found


class AttendingDecoder(nn.Module):
    """Words from a map of features.

    Xu et al., "Show, attend and tell: Neural image caption generation with visual attention", ICML 2015: soft attention
    (section 4.2) with the gate ``beta`` of its section 4.2.1, the first state from the mean of the features (3.1.2) and
    the deep output layer of equation 7. The attention is the additive one, as in the paper.

    One thing is added, because a mean cannot count: beside the attention, whose weights sum to 1, an amount, whose
    weights are sigmoids, so that three of a kind weigh three times as much as one.
    """

    def __init__(
        self,
        words: int,
        *,
        value_size: int,
        embedding_size: int = 48,
        hidden_size: int = 128,
        amount_size: int = 32,
        dropout: float = 0.1,
    ) -> None:
        """Make the decoder.

        Args:
            words: number of classes.
            value_size: features of a place.
            embedding_size: of a word.
            hidden_size: of the LSTM.
            amount_size: of what is summed over the places.
            dropout: probability with which a value is dropped while training, before the output layer.
        """
        super().__init__()
        self.embedding = nn.Embedding(words, embedding_size)
        self.begin_h = nn.Linear(value_size, hidden_size)
        self.begin_c = nn.Linear(value_size, hidden_size)
        self.attention = AdditiveAttention(hidden_size, value_size, hidden_size // 2)
        self.gate = nn.Linear(hidden_size, value_size)
        self.amount = Amount(hidden_size, value_size, hidden_size // 2, amount_size)
        self.cell = nn.LSTMCell(embedding_size + value_size + amount_size, hidden_size)
        self.of_hidden = nn.Linear(hidden_size, embedding_size)
        self.of_context = nn.Linear(value_size + amount_size, embedding_size, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(embedding_size, words)

    def begin(self, values: Tensor, lengths: Tensor) -> tuple[State, State]:
        """The first state, and what every step looks at.

        Args:
            values: float32 ``(batch, places, value_size)``.
            lengths: int64 ``(batch,)``, how many of the places count.

        Returns:
            State ``h`` and ``c``, ``(batch, hidden_size)``; memory ``values``, ``keys``, ``lengths`` and what the
            amount is made of.
        """
        mean = values.mean(1)
        state = {"h": torch.tanh(self.begin_h(mean)), "c": torch.tanh(self.begin_c(mean))}
        memory = {"values": values, "keys": self.attention.keys(values), "lengths": lengths}
        return state, {**memory, **self.amount.memory(values)}

    def look(self, tokens: Tensor, state: State, memory: State) -> tuple[Tensor, State, Tensor]:
        """One step, and where it looked.

        Args:
            tokens: int64 ``(batch,)``, the last word of each row.
            state: from :meth:`begin` or the last step.
            memory: from :meth:`begin`.

        Returns:
            Logits ``(batch, words)`` of the next word, the next state, and the attention ``(batch, places)``.
        """
        x, h = self.embedding(tokens), state["h"]
        context, weights = self.attention(h, memory["keys"], memory["values"], memory["lengths"])
        context = torch.cat([torch.sigmoid(self.gate(h)) * context, self.amount(h, memory)], -1)
        h, c = self.cell(torch.cat([x, context], -1), (h, state["c"]))
        # Equation 7: exp(L_o (E y + L_h h + L_z z)).
        logits = self.output(self.dropout(x + self.of_hidden(h) + self.of_context(context)))
        return logits, {"h": h, "c": c}, weights

    def step(self, tokens: Tensor, state: State, memory: State) -> tuple[Tensor, State]:
        """One step as a search takes it: logits and the next state."""
        logits, state, _ = self.look(tokens, state, memory)
        return logits, state
