"""Two encoder-decoders for spelling and sound, with their beam search."""

from __future__ import annotations

from ..seq2seq import BahdanauDecoder, Beam, ChoDecoder, Encoder, EncoderDecoder
from .symbols import BEGIN, END, LETTERS, SYMBOLS

_EMBEDDING_SIZE = 48


def build() -> Beam:
    """Additive attention over a bidirectional GRU, with fresh weights.

    Bahdanau, Cho and Bengio, "Neural machine translation by jointly learning to align and translate", ICLR 2015.
    """
    encoder = Encoder(len(LETTERS), _EMBEDDING_SIZE, 128, bidirectional=True)
    decoder = BahdanauDecoder(
        len(SYMBOLS),
        _EMBEDDING_SIZE,
        160,
        value_size=encoder.output_size,
        summary_size=encoder.hidden_size,
        attention_size=128,
    )
    return Beam(EncoderDecoder(encoder, decoder, begin=BEGIN, end=END))


def build_cho() -> Beam:
    """One vector for the whole word, with fresh weights.

    Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical machine translation", EMNLP
    2014.
    """
    encoder = Encoder(len(LETTERS), _EMBEDDING_SIZE, 192)
    decoder = ChoDecoder(len(SYMBOLS), _EMBEDDING_SIZE, 192, summary_size=encoder.hidden_size)
    return Beam(EncoderDecoder(encoder, decoder, begin=BEGIN, end=END))
