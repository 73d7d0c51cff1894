"""The encoder: a vector for every source token, and one for the whole source."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class Encoded(NamedTuple):
    """What an encoder gives.

    Attributes:
        outputs: float32 ``(batch, source, directions * hidden_size)``, zero past each row's length.
        summary: float32 ``(batch, hidden_size)``, the last hidden state of the top layer; of a bidirectional encoder
            that of the backward direction, which has read the source to its first token.
        lengths: int64 ``(batch,)``.
    """

    outputs: Tensor
    summary: Tensor
    lengths: Tensor


class Encoder(nn.Module):
    """Embedding and GRU, over rows of different lengths."""

    def __init__(
        self,
        vocabulary: int,
        embedding_size: int,
        hidden_size: int,
        *,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
    ) -> None:
        """Make an encoder with torch's own initial weights.

        Args:
            vocabulary: number of source tokens.
            embedding_size: of a source token.
            hidden_size: of each direction's state.
            num_layers: of the GRU.
            bidirectional: whether it reads the source from both ends.
            dropout: probability with which a value of the tokens' vectors, and of what one layer gives the next, is
                dropped while training.
        """
        super().__init__()
        self.hidden_size = hidden_size
        self.output_size = hidden_size * (2 if bidirectional else 1)
        self.embedding = nn.Embedding(vocabulary, embedding_size)
        self.dropout = nn.Dropout(dropout)
        self.gru = nn.GRU(
            embedding_size,
            hidden_size,
            num_layers,
            batch_first=True,
            bidirectional=bidirectional,
            dropout=dropout if num_layers > 1 else 0.0,
        )

    def forward(self, source: Tensor, lengths: Tensor) -> Encoded:
        """Encode.

        Args:
            source: int64 ``(batch, source)`` tokens; what stands past a row's length is not looked at.
            lengths: int64 ``(batch,)``, from 1.
        """
        vectors = self.dropout(self.embedding(source))
        packed = pack_padded_sequence(vectors, lengths.cpu(), batch_first=True, enforce_sorted=False)
        outputs, final = self.gru(packed)
        padded, _ = pad_packed_sequence(outputs, batch_first=True, total_length=source.shape[1])
        return Encoded(outputs=padded, summary=final[-1], lengths=lengths)
