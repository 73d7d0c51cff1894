"""A decoder with additive attention."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .attention import AdditiveAttention, maxout

if TYPE_CHECKING:
    from .encoder import Encoded


class BahdanauDecoder(nn.Module):
    """A GRU that looks at the source before each step.

    Bahdanau, Cho and Bengio, "Neural machine translation by jointly learning to align and translate", ICLR 2015: the
    state before the step asks the attention, whose context enters the step and, with the state before it and the last
    token, a maxout output. The cell is torch's, whose reset gate works after the product with the state and not before.
    """

    def __init__(
        self,
        vocabulary: int,
        embedding_size: int,
        hidden_size: int,
        *,
        value_size: int,
        summary_size: int,
        attention_size: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        """Make the decoder.

        Args:
            vocabulary: number of target tokens.
            embedding_size: of a target token.
            hidden_size: of the decoder's state.
            value_size: of the encoder's outputs.
            summary_size: of the encoder's summary.
            attention_size: of the attention's own layer; ``hidden_size`` by default.
            dropout: probability with which a value of the tokens' vectors, of the encoder's outputs and of the maxout
                layer is dropped while training.
        """
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.embedding = nn.Embedding(vocabulary, embedding_size)
        self.start = nn.Linear(summary_size, hidden_size)
        self.attention = AdditiveAttention(hidden_size, value_size, attention_size or hidden_size)
        self.cell = nn.GRUCell(embedding_size + value_size, hidden_size)
        self.output = nn.Linear(hidden_size + embedding_size + value_size, 2 * embedding_size)
        self.head = nn.Linear(embedding_size, vocabulary)

    def begin(self, encoded: Encoded) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """State ``h`` ``(batch, hidden_size)``; memory ``values`` and ``keys`` over the source, and its ``lengths``."""
        values = self.dropout(encoded.outputs)
        return {"h": torch.tanh(self.start(encoded.summary))}, {
            "values": values,
            "keys": self.attention.keys(values),
            "lengths": encoded.lengths,
        }

    def step(
        self, tokens: Tensor, state: dict[str, Tensor], memory: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """From tokens int64 ``(batch,)`` to logits ``(batch, vocabulary)`` and the next state."""
        x, before = self.dropout(self.embedding(tokens)), state["h"]
        context, _ = self.attention(before, memory["keys"], memory["values"], memory["lengths"])
        h = self.cell(torch.cat([x, context], -1), before)
        logits = self.head(self.dropout(maxout(self.output(torch.cat([before, x, context], -1)))))
        return logits, {"h": h}
