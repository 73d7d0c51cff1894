"""Encoder-decoders as models to export: for the coverage table and for the tests. See layer_cases.py for layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from ..models.seq2seq import (
    BahdanauDecoder,
    Beam,
    ChoDecoder,
    Encoder,
    EncoderDecoder,
    EncoderPart,
    Greedy,
    LuongDecoder,
    Sampling,
    StepPart,
)
from .layer_cases import LayerCase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SOURCE_VOCABULARY, TARGET_VOCABULARY = 11, 9
BEGIN, END = 1, 0
_EMBEDDING, _HIDDEN, _STATE = 5, 6, 7
_SOURCE = f"source: int64[batch, source] < {SOURCE_VOCABULARY}"
_LENGTHS = "lengths:source"
_MAX_LENGTH = "max_length: int64[] >= 1, < 12"
_BEAM = ("beam_width: int64[] >= 1, < 6", "length_penalty: float32[]")
_SAMPLING = ("seed: int64[batch] < 1000000", "temperature: float32[]", "top_k: int64[] >= 1, < 15")


def _joined(encoder: Encoder, decoder: ChoDecoder | BahdanauDecoder | LuongDecoder) -> EncoderDecoder:
    model = EncoderDecoder(encoder, decoder, begin=BEGIN, end=END)
    for parameter in model.parameters():
        # Larger than a layer begins with, or every decoder would say one token over and over.
        torch.nn.init.normal_(parameter, std=0.7)
    return model


def cho() -> EncoderDecoder:
    """One vector for the whole source."""
    return _joined(
        Encoder(SOURCE_VOCABULARY, _EMBEDDING, _HIDDEN),
        ChoDecoder(TARGET_VOCABULARY, _EMBEDDING, _STATE, summary_size=_HIDDEN),
    )


def bahdanau() -> EncoderDecoder:
    """Additive attention over a bidirectional encoder."""
    return _joined(
        Encoder(SOURCE_VOCABULARY, _EMBEDDING, _HIDDEN, bidirectional=True),
        BahdanauDecoder(TARGET_VOCABULARY, _EMBEDDING, _STATE, value_size=2 * _HIDDEN, summary_size=_HIDDEN),
    )


def luong(score: str = "general") -> EncoderDecoder:
    """Multiplicative attention, two layers each."""
    hidden = 2 * _HIDDEN if score == "dot" else _STATE
    return _joined(
        Encoder(SOURCE_VOCABULARY, _EMBEDDING, _HIDDEN, num_layers=2, bidirectional=True),
        LuongDecoder(
            TARGET_VOCABULARY,
            _EMBEDDING,
            hidden,
            value_size=2 * _HIDDEN,
            summary_size=_HIDDEN,
            num_layers=2,
            score=score,
        ),
    )


def _decoding(
    kind: Callable[[EncoderDecoder], nn.Module], build: Callable[[], EncoderDecoder]
) -> Callable[[], nn.Module]:
    return lambda: kind(build())


def _case(
    name: str,
    build: Callable[[], nn.Module],
    more: tuple[str, ...],
    recurrent: dict[str, int],
) -> LayerCase:
    return LayerCase(name=name, build=build, recurrent=recurrent, inputs=(_SOURCE, *more), lengths=_LENGTHS)


def seq2seq_cases() -> Iterator[LayerCase]:
    """Every decoder with every search, and its two graphs."""
    models: dict[str, tuple[Callable[[], EncoderDecoder], int, dict[str, int]]] = {
        "Cho": (cho, 1, {}),
        "Bahdanau": (bahdanau, 1, {"GRU": 1}),
        "Luong general": (luong, 2, {"LSTM": 2}),
        "Luong dot": (lambda: luong("dot"), 2, {"LSTM": 2}),
        "Luong concat": (lambda: luong("concat"), 2, {"LSTM": 2}),
    }
    for name, (build, layers, cell) in models.items():
        step = {"GRU": layers + cell.get("GRU", 0), **{kind: n for kind, n in cell.items() if kind != "GRU"}}
        target = f"target: int64[batch, target] < {TARGET_VOCABULARY}"
        yield _case(f"{name}, given the target", build, (target,), {**step, "Scan": 1})
        yield _case(f"{name} greedy", _decoding(Greedy, build), (_MAX_LENGTH,), {**step, "Loop": 1})
        if name in {"Luong dot", "Luong concat"}:
            continue
        yield _case(
            f"{name} beam search",
            _decoding(Beam, build),
            (_MAX_LENGTH, *_BEAM),
            {**step, "Loop": 1, "Scan": 1},
        )
        yield _case(
            f"{name} sampling",
            _decoding(Sampling, build),
            (_MAX_LENGTH, *_SAMPLING),
            {**step, "Loop": 1},
        )
        yield _case(f"{name} encoder", _decoding(EncoderPart, build), (), {"GRU": layers})
    yield LayerCase(
        name="Bahdanau step",
        build=lambda: StepPart(bahdanau()),
        recurrent={"GRU": 1},
        inputs=(
            f"tokens: int64[batch] < {TARGET_VOCABULARY}",
            f"h -> state.h: float32[batch, {_STATE}]",
            f"values -> memory.values: float32[batch, source, {2 * _HIDDEN}]",
            f"keys -> memory.keys: float32[batch, source, {_STATE}]",
            "lengths -> memory.lengths: int64[batch]",
        ),
        lengths=_LENGTHS,
    )
