"""Encoder-decoders: a source sequence becomes a target sequence, token by token.

An :class:`EncoderDecoder` joins an :class:`Encoder` and a decoder: :class:`ChoDecoder` (one vector for the whole
source), :class:`BahdanauDecoder` (additive attention) or :class:`LuongDecoder` (multiplicative attention). Sources are
masked by their lengths. :class:`Greedy`, :class:`Beam` and :class:`Sampling` are models that decode, and export as one
graph with the search in it; :class:`EncoderPart` and :class:`StepPart` are the two graphs for a host that searches by
itself (:mod:`rnnx.runtime.search`). :func:`align` tells what attention looked at; :mod:`.teaching` and
:mod:`.answering` are for training and scoring.
"""

from .alignment import align
from .attention import AdditiveAttention, MultiplicativeAttention
from .bahdanau import BahdanauDecoder
from .cho import ChoDecoder
from .decoding import Beam, Greedy, Sampling
from .encoder import Encoded, Encoder
from .luong import LuongDecoder
from .model import Decoder, EncoderDecoder
from .parts import EncoderPart, Parts, StepPart, export_parts

__all__ = [
    "AdditiveAttention",
    "BahdanauDecoder",
    "Beam",
    "ChoDecoder",
    "Decoder",
    "Encoded",
    "Encoder",
    "EncoderDecoder",
    "EncoderPart",
    "Greedy",
    "LuongDecoder",
    "MultiplicativeAttention",
    "Parts",
    "Sampling",
    "StepPart",
    "align",
    "export_parts",
]
