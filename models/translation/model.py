"""The encoder-decoder and its beam search."""

from __future__ import annotations

from ..seq2seq import BahdanauDecoder, Beam, Encoder, EncoderDecoder
from .pieces import BEGIN, END, symbols

_EMBEDDING_SIZE = 64
_DROPOUT = 0.2


def build() -> Beam:
    """Additive attention over a bidirectional GRU, with fresh weights.

    Bahdanau, Cho and Bengio, "Neural machine translation by jointly learning to align and translate", ICLR 2015.
    """
    vocabulary = len(symbols())
    encoder = Encoder(vocabulary, _EMBEDDING_SIZE, 128, bidirectional=True, dropout=_DROPOUT)
    decoder = BahdanauDecoder(
        vocabulary,
        _EMBEDDING_SIZE,
        192,
        value_size=encoder.output_size,
        summary_size=encoder.hidden_size,
        attention_size=128,
        dropout=_DROPOUT,
    )
    return Beam(EncoderDecoder(encoder, decoder, begin=BEGIN, end=END))
