"""From one row of a model's outputs to what a person expects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import SessionError
from ..ctc import greedy, prefix_beam
from .griffin_lim import mel_to_samples
from .results import AudioResult, ForecastResult, LabelsResult, ScoresResult, TagsResult, TextResult
from .write_kinds import AudioWrite, CtcWrite, ForecastWrite, LabelsWrite, ScoresWrite, TagsWrite, TokensWrite

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from .reading import Item
    from .results import Result

#: Smallest probability, whose logarithm is taken.
_TINY = 1e-30

Whole = LabelsWrite | TagsWrite | TokensWrite | CtcWrite | ForecastWrite | ScoresWrite | AudioWrite


def read_outputs(write: Whole) -> list[str]:
    """Names of the outputs that are read."""
    further = [getattr(write, name, None) for name in ("lengths", "scores", "attention")]
    return [write.output, *(one for one in further if one is not None)]


def answer(write: Whole, row: Mapping[str, NDArray[Any]], item: Item, *, over_time: bool) -> Result:
    """The answer for one row.

    Args:
        write: what is answered.
        row: outputs by name, without their batch axis, cut to the row's size.
        item: what was read.
        over_time: whether the output has an axis of time, so that one score is of one step.

    Raises:
        SessionError: the model gave NaN, or ids that no symbol stands for.
    """
    values = row[write.output]
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise SessionError(f"the model gave NaN for {item.name}. Look for what is far beyond what it was trained on.")
    found: Result
    match write:
        case LabelsWrite():
            found = _labels(write, row, item)
        case TagsWrite():
            found = _tags(write, values, item)
        case TokensWrite():
            found = _tokens(write, row)
        case CtcWrite():
            found = _ctc(write, row)
        case ForecastWrite():
            found = _forecast(write, values, item)
        case ScoresWrite():
            scores = _sigmoid(values.astype(np.float64)) if write.form == "logit" else values.astype(np.float64)
            whole = not over_time and scores.size == 1
            found = ScoresResult(name=write.name, threshold=write.threshold, scores=scores.reshape(-1), whole=whole)
        case AudioWrite():
            found = _audio(write, row)
    return found


def log_probabilities(values: NDArray[Any], form: str) -> NDArray[np.float64]:
    """Natural logarithms of the probabilities of the classes on the last axis.

    Args:
        values: float ``(..., classes)``.
        form: what they are: ``logits``, ``log_probs`` or ``probabilities``.
    """
    exact = values.astype(np.float64)
    if form == "probabilities":
        return np.asarray(np.log(np.maximum(exact, _TINY)))
    if form == "log_probs":
        return exact
    above = exact - exact.max(axis=-1, keepdims=True)
    return np.asarray(above - np.log(np.exp(above).sum(axis=-1, keepdims=True)))


def _labels(write: LabelsWrite, row: Mapping[str, NDArray[Any]], item: Item) -> LabelsResult:
    shares = np.exp(log_probabilities(row[write.output], write.form))
    if write.over_time is not None:
        shares = shares[-1] if write.over_time == "last" else shares.mean(axis=0)
    order = np.argsort(-shares, kind="stable")
    ranked = tuple((write.labels[one], float(shares[one])) for one in order)
    weights: tuple[float, ...] = ()
    if write.attention is not None:
        weights = tuple(row[write.attention].astype(np.float64).reshape(-1).tolist())
    return LabelsResult(ranked=ranked, top=write.top, tokens=item.tokens if weights else (), attention=weights)


def _tags(write: TagsWrite, values: NDArray[Any], item: Item) -> TagsResult:
    if values.dtype.kind in "iu":
        ids, shares = values.reshape(-1), tuple[float, ...]()
    else:
        found = np.exp(log_probabilities(values, write.form))
        ids, shares = found.argmax(axis=-1), tuple(found.max(axis=-1).tolist())
    labels = tuple(_symbols(write.labels, ids.tolist()))
    kept = [number for number, one in enumerate(item.tokens) if one] if item.tokens else list(range(len(labels)))
    return TagsResult(
        labels=tuple(labels[one] for one in kept),
        probabilities=tuple(shares[one] for one in kept) if shares else (),
        tokens=tuple(item.tokens[one] for one in kept) if item.tokens else (),
        join=write.join,
    )


def _tokens(write: TokensWrite, row: Mapping[str, NDArray[Any]]) -> TextResult:
    table = np.atleast_2d(row[write.output])
    sizes = [None] * len(table) if write.lengths is None else np.atleast_1d(row[write.lengths]).tolist()
    scores = [None] * len(table) if write.scores is None else np.atleast_1d(row[write.scores]).tolist()
    found = []
    # What stands behind the end is padding, whatever it is; without an end, all of the row was written.
    whole = write.end is None or write.end in table[0] or sizes[0] not in {None, table.shape[1]}
    for ids, size in zip(table.tolist(), sizes, strict=True):
        ended = ids if size is None else ids[:size]
        if write.end is not None and write.end in ended:
            ended = ended[: ended.index(write.end)]
        found.append(tuple(one for one in ended if one not in write.skip))
    texts = [_joined(write, ids) for ids in found]
    return TextResult(
        text=texts[0],
        ids=found[0],
        score=scores[0],
        alternatives=tuple(zip(texts[1:], scores[1:], strict=True)),
        ended=whole,
    )


def _joined(write: TokensWrite, ids: Sequence[int]) -> str:
    text = write.join.join(_symbols(write.symbols, ids))
    return text if write.mark is None else text.replace(write.mark, " ").strip()


def _ctc(write: CtcWrite, row: Mapping[str, NDArray[Any]]) -> TextResult:
    frames = log_probabilities(row[write.output], write.form)[None]
    # Rounding in the graph may lift a log-probability a little above 0.
    frames = np.minimum(frames, 0.0)
    lengths = None if write.lengths is None else [int(row[write.lengths])]
    if write.beam_width == 1:
        found = greedy(frames, lengths, blank=write.blank)
    else:
        found = prefix_beam(frames, lengths, blank=write.blank, beam_width=write.beam_width)[0]
    texts = [write.join.join(_symbols(write.symbols, one.tokens.tolist())) for one in found]
    others = tuple((text, one.log_prob) for text, one in zip(texts[1:], found[1:], strict=True))
    return TextResult(text=texts[0], ids=tuple(found[0].tokens.tolist()), score=found[0].log_prob, alternatives=others)


def _forecast(write: ForecastWrite, values: NDArray[Any], item: Item) -> ForecastResult:
    if write.over_time is not None:
        values = values[-1]
    shaped = values.astype(np.float64).reshape(-1, max(len(write.quantiles), 1))
    times = () if item.ahead is None or len(item.ahead) != len(shaped) else tuple(item.ahead.tolist())
    return ForecastResult(name=write.name, unit=write.unit, quantiles=write.quantiles, values=shaped, times=times)


def _audio(write: AudioWrite, row: Mapping[str, NDArray[Any]]) -> AudioResult:
    values = row[write.output]
    if write.lengths is not None:
        values = values[: int(row[write.lengths])]
    if write.mel is None:
        samples = values.astype(np.float32).reshape(-1)
    else:
        samples = mel_to_samples(values, write.mel, write.sample_rate)
    peak = float(np.abs(samples).max(initial=0.0))
    # What is too loud for a file is made softer as a whole: cut off, it would crackle.
    return AudioResult(samples=samples / peak if peak > 1 else samples, sample_rate=write.sample_rate)


def _symbols(symbols: Sequence[str], ids: Sequence[int]) -> list[str]:
    wrong = next((one for one in ids if not 0 <= one < len(symbols)), None)
    if wrong is not None:
        raise SessionError(f"the model gave the id {wrong}, and its task names {len(symbols)} symbols from 0.")
    return [symbols[one] for one in ids]


def _sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    # From the side where nothing overflows.
    small = np.exp(-np.abs(values))
    return np.where(values >= 0, 1 / (1 + small), small / (1 + small))
