"""A decoder with multiplicative attention and input feeding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .attention import MultiplicativeAttention

if TYPE_CHECKING:
    from .encoder import Encoded


class LuongDecoder(nn.Module):
    """A stack of LSTM cells that looks at the source after each step.

    Luong, Pham and Manning, "Effective approaches to attention-based neural machine translation", EMNLP 2015: global
    attention, ``h~ = tanh(W [context; h])``, and ``h~`` fed to the next step beside its token.
    """

    def __init__(
        self,
        vocabulary: int,
        embedding_size: int,
        hidden_size: int,
        *,
        value_size: int,
        summary_size: int,
        num_layers: int = 1,
        score: str = "general",
    ) -> None:
        """Make the decoder.

        Args:
            vocabulary: number of target tokens.
            embedding_size: of a target token.
            hidden_size: of each cell's state.
            value_size: of the encoder's outputs.
            summary_size: of the encoder's summary.
            num_layers: number of cells.
            score: ``dot``, ``general`` or ``concat``.
        """
        super().__init__()
        self.num_layers = num_layers
        self.hidden_size = hidden_size
        self.embedding = nn.Embedding(vocabulary, embedding_size)
        self.start = nn.Linear(summary_size, 2 * num_layers * hidden_size)
        sizes = [embedding_size + hidden_size, *[hidden_size] * (num_layers - 1)]
        self.cells = nn.ModuleList(nn.LSTMCell(size, hidden_size) for size in sizes)
        self.attention = MultiplicativeAttention(hidden_size, value_size, score)
        self.combine = nn.Linear(value_size + hidden_size, hidden_size, bias=False)
        self.head = nn.Linear(hidden_size, vocabulary)

    def begin(self, encoded: Encoded) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """State ``h`` and ``c`` ``(batch, num_layers, hidden_size)`` and ``fed`` ``(batch, hidden_size)``; memory."""
        both = torch.tanh(self.start(encoded.summary)).reshape(-1, 2, self.num_layers, self.hidden_size)
        fed = torch.zeros_like(both[:, 0, 0])
        return {"h": both[:, 0], "c": both[:, 1], "fed": fed}, {
            "values": encoded.outputs,
            "keys": self.attention.keys(encoded.outputs),
            "lengths": encoded.lengths,
        }

    def step(
        self, tokens: Tensor, state: dict[str, Tensor], memory: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """From tokens int64 ``(batch,)`` to logits ``(batch, vocabulary)`` and the next state."""
        h = torch.cat([self.embedding(tokens), state["fed"]], -1)
        hidden, cells = [], []
        for layer, cell in enumerate(self.cells):
            h, c = cell(h, (state["h"][:, layer], state["c"][:, layer]))
            hidden.append(h)
            cells.append(c)
        context, _ = self.attention(h, memory["keys"], memory["values"], memory["lengths"])
        fed = torch.tanh(self.combine(torch.cat([context, h], -1)))
        return self.head(fed), {"h": torch.stack(hidden, 1), "c": torch.stack(cells, 1), "fed": fed}
