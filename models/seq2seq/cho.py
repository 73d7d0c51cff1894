"""A decoder that sees the source as one vector, at every step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .attention import maxout

if TYPE_CHECKING:
    from .encoder import Encoded


class ChoDecoder(nn.Module):
    """The decoder of the first encoder-decoder with gated units.

    Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical machine translation", EMNLP
    2014, with its appendix: the summary ``c = tanh(V h)`` of the source enters the gates, the candidate (within the
    reset gate) and the output, which is a maxout layer. ``h_t = z h_{t-1} + (1 - z) h~``.
    """

    def __init__(self, vocabulary: int, embedding_size: int, hidden_size: int, *, summary_size: int) -> None:
        """Make the decoder.

        Args:
            vocabulary: number of target tokens.
            embedding_size: of a target token.
            hidden_size: of the decoder's state.
            summary_size: of the encoder's summary.
        """
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, embedding_size)
        self.summarise = nn.Linear(summary_size, hidden_size)
        self.start = nn.Linear(hidden_size, hidden_size)
        # Rows: reset gate, update gate, candidate.
        self.input = nn.Linear(embedding_size, 3 * hidden_size)
        self.hidden = nn.Linear(hidden_size, 3 * hidden_size, bias=False)
        self.context = nn.Linear(hidden_size, 3 * hidden_size, bias=False)
        self.output = nn.Linear(2 * hidden_size + embedding_size, 2 * embedding_size)
        self.head = nn.Linear(embedding_size, vocabulary)

    def begin(self, encoded: Encoded) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """State ``h`` ``(batch, hidden_size)``; memory ``summary`` and its part of the gates."""
        summary = torch.tanh(self.summarise(encoded.summary))
        return (
            {"h": torch.tanh(self.start(summary))},
            {"summary": summary, "gates": self.context(summary)},
        )

    def step(
        self, tokens: Tensor, state: dict[str, Tensor], memory: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """From tokens int64 ``(batch,)`` to logits ``(batch, vocabulary)`` and the next state."""
        x, h = self.embedding(tokens), state["h"]
        from_x = self.input(x).chunk(3, -1)
        from_h = (self.hidden(h) + memory["gates"]).chunk(3, -1)
        r = torch.sigmoid(from_x[0] + from_h[0])
        z = torch.sigmoid(from_x[1] + from_h[1])
        h = z * h + (1 - z) * torch.tanh(from_x[2] + r * from_h[2])
        logits = self.head(maxout(self.output(torch.cat([h, x, memory["summary"]], -1))))
        return logits, {"h": h}
