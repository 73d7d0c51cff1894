"""Connectionist temporal classification: from log-probabilities of frames to tokens.

A CTC model gives each frame a class, the blank among them; a labelling is what is left after repeats are collapsed and
blanks removed (Graves et al., "Connectionist Temporal Classification", ICML 2006). Best-path decoding takes each
frame's best class. The prefix search sums over all alignments of a labelling, frame by frame, and keeps the best
prefixes (Graves 2006, section 3.2; Hannun et al., "First-Pass Large Vocabulary Continuous Speech Recognition using
Bi-Directional Recurrent DNNs", 2014, algorithm 1).

Everything is computed in float64 and log space; a log-probability of -inf is a class that cannot be.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DtypeError, InputError, ShapeError
from .decoded import Hypothesis, check_whole, checked_lengths
from .prefixes import Fusion, Prefix, advance

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from .prefixes import LanguageModel

#: How far above zero rounding may lift a log-probability.
_ROUNDING = 1e-4


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GreedyState:
    """What best-path decoding carries from one chunk to the next.

    Attributes:
        last: int64 ``(batch,)``, the class of each row's last frame; -1 before the first.
        frames: int64 ``(batch,)``, the number of frames that each row has seen.
        log_probs: float64 ``(batch,)``, the log-probability of each row's path so far.
        blank: the class that stands for no token.
    """

    last: NDArray[np.int64]
    frames: NDArray[np.int64]
    log_probs: NDArray[np.float64]
    blank: int


def greedy(log_probs: NDArray[Any], lengths: ArrayLike | None = None, *, blank: int = 0) -> list[Hypothesis]:
    """Best-path decoding: the best class of each frame, repeats collapsed, blanks removed.

    Args:
        log_probs: float32 or float64 ``(batch, time, classes)``, natural logarithms of probabilities.
        lengths: whole numbers ``(batch,)``, frames of each row; what lies behind them is not read. All by default.
        blank: the class that stands for no token.

    Returns:
        One hypothesis for each row. Where classes tie, the lowest wins.

    Raises:
        InputError: values, lengths or the blank are wrong; DtypeError and ShapeError are kinds of it.
    """
    checked = _checked(log_probs)
    return greedy_step(checked, initial(checked.shape[0], blank=blank), lengths)[0]


def initial(batch: int, *, blank: int = 0) -> GreedyState:
    """The state before the first chunk of ``batch`` rows.

    Raises:
        InputError: ``batch`` or ``blank`` is negative or no whole number.
    """
    check_whole("batch", batch, 0)
    check_whole("blank", blank, 0)
    zeros = np.zeros(batch, np.int64)
    return GreedyState(last=zeros - 1, frames=zeros, log_probs=np.zeros(batch), blank=int(blank))


def greedy_step(
    log_probs: NDArray[Any], state: GreedyState, lengths: ArrayLike | None = None
) -> tuple[list[Hypothesis], GreedyState]:
    """Decode one chunk. However a sequence is cut, the chunks' tokens and frames together are those of :func:`greedy`.

    Args:
        log_probs: float32 or float64 ``(batch, time, classes)``; any number of frames, also none.
        state: what the chunk before gave, or :func:`initial`. It is not changed.
        lengths: whole numbers ``(batch,)``, frames of each row in this chunk. All by default.

    Returns:
        For each row the tokens that begin in this chunk, their frames counted from the first chunk's start, and the
        log-probability of the row's whole path so far; and the next state.

    Raises:
        InputError: values or lengths are wrong, or the state is of another batch size.
    """
    array = _checked(log_probs)
    batch, time, _ = array.shape
    if state.last.shape != (batch,):
        raise ShapeError(
            f"the state holds {state.last.shape[0]} rows and log_probs has {batch}, shape {array.shape}. "
            f"Rows must stay in their place from chunk to chunk; begin with initial({batch})."
        )
    sizes = checked_lengths(lengths, batch, time)
    _check_values(array, sizes, state.blank)
    path = array.argmax(axis=2)
    found: list[Hypothesis] = []
    last, totals = state.last.copy(), state.log_probs.copy()
    for row, size in enumerate(sizes.tolist()):
        classes_here = path[row, :size]
        begins = (classes_here != np.concatenate((last[row : row + 1], classes_here))[:size]) & (
            classes_here != state.blank
        )
        if size:
            best = array[row, np.arange(size), classes_here].astype(np.float64)
            # Added one after the other, from the state's sum: the same bits, however a sequence is cut.
            totals[row] = np.add.accumulate(np.concatenate((totals[row : row + 1], best)))[-1]
            last[row] = classes_here[-1]
        found.append(
            Hypothesis(
                tokens=classes_here[begins].astype(np.int64),
                frames=np.flatnonzero(begins).astype(np.int64) + state.frames[row],
                log_prob=float(totals[row]),
                score=float(totals[row]),
            )
        )
    return found, GreedyState(last=last, frames=state.frames + sizes, log_probs=totals, blank=state.blank)


def prefix_beam(
    log_probs: NDArray[Any],
    lengths: ArrayLike | None = None,
    *,
    blank: int = 0,
    beam_width: int = 8,
    prune_log_prob: float = -inf,
    language_model: LanguageModel | None = None,
    lm_weight: float = 1.0,
    insertion_bonus: float = 0.0,
) -> list[list[Hypothesis]]:
    """Prefix beam search: labellings by their probability, summed over alignments.

    The score is ``log_prob + lm_weight * log P_lm(tokens) + insertion_bonus * len(tokens)`` (Hannun et al., "Deep
    Speech", 2014, with tokens in place of words). A beam as wide as there are prefixes makes the search exact.

    Args:
        log_probs: float32 or float64 ``(batch, time, classes)``, natural logarithms of probabilities.
        lengths: whole numbers ``(batch,)``, frames of each row; what lies behind them is not read. All by default.
        blank: the class that stands for no token.
        beam_width: prefixes kept after each frame.
        prune_log_prob: a class below this in a frame begins no token there, unless it is the frame's best.
        language_model: from the tokens so far, a tuple, to the next token's log-probabilities ``(classes,)``; -inf
            forbids a token. Called once for each prefix that the beam grows from, while it stays there.
        lm_weight: the language model's weight, 0 or more; at 0 the language model is not called.
        insertion_bonus: added to the score for each token.

    Returns:
        For each row its hypotheses, at least one and at most ``beam_width``, the best first.

    Raises:
        InputError: values, lengths or options are wrong, or the language model's answer is, or it forbids every prefix
            of the beam; DtypeError and ShapeError are kinds of it.
    """
    array = _checked(log_probs)
    batch, time, classes = array.shape
    check_whole("blank", blank, 0)
    check_whole("beam_width", beam_width, 1)
    if not prune_log_prob <= 0:
        raise InputError(f"prune_log_prob is {prune_log_prob!r}; it must be a log-probability, 0 or less, or -inf.")
    if not 0 <= lm_weight < inf:
        raise InputError(f"lm_weight is {lm_weight!r}; it must be a finite number, 0 or more.")
    if not isfinite(insertion_bonus):
        raise InputError(f"insertion_bonus is {insertion_bonus!r}; it must be a finite number.")
    sizes = checked_lengths(lengths, batch, time)
    _check_values(array, sizes, blank)
    if language_model is None or not lm_weight:
        fusion = Fusion(model=None, weight=0.0, bonus=insertion_bonus, classes=classes)
    else:
        fusion = Fusion(model=language_model, weight=lm_weight, bonus=insertion_bonus, classes=classes)
    found: list[list[Hypothesis]] = []
    for row, size in enumerate(sizes.tolist()):
        beam = [Prefix.empty()]
        growth: dict[tuple[int, ...], NDArray[np.float64]] = {}
        for index, frame in enumerate(array[row, :size].astype(np.float64)):
            growth = {one.tokens: fusion.next(one.tokens, growth) for one in beam}
            beam = advance(
                beam,
                frame,
                index,
                blank=blank,
                beam_width=beam_width,
                prune_log_prob=prune_log_prob,
                growth=growth,
            )
            if not beam:
                raise InputError(
                    f"the language model forbids every prefix of the beam at frame {index} of row {row}. "
                    f"Raise beam_width ({beam_width}), or let the language model give every token some probability."
                )
        found.append([one.hypothesis() for one in beam])
    return found


def _checked(log_probs: NDArray[Any]) -> NDArray[Any]:
    array = np.asarray(log_probs)
    if array.dtype not in (np.float32, np.float64):
        raise DtypeError(
            f"log_probs has dtype {array.dtype}; it must be float32 or float64. Pass log_probs.astype(np.float32)."
        )
    if array.ndim != 3:
        raise ShapeError(
            f"log_probs has {array.ndim} axes, shape {array.shape}; it must have 3: (batch, time, classes). "
            "For one row without its batch axis, pass log_probs[None]."
        )
    return array


def _check_values(array: NDArray[Any], sizes: NDArray[np.int64], blank: int) -> None:
    """Refuse what are no log-probabilities, in the frames that count."""
    _, time, classes = array.shape
    if blank >= classes:
        raise InputError(
            f"blank is {blank}, and log_probs has {classes} classes, shape {array.shape}; "
            f"allowed is 0 <= blank < {classes}."
        )
    # Padding may hold anything. NaN compares false, so `not <=` finds it too.
    counts = np.arange(time) < sizes[:, None]
    wrong = counts[:, :, None] & ~(array <= _ROUNDING)
    if wrong.any():
        place = tuple(int(one) for one in np.argwhere(wrong)[0])
        raise InputError(
            f"log_probs holds {array[place]} at {place}; log-probabilities are 0 or less. " + _advice(array[counts])
        )
    dead = counts & ~(array > -inf).any(axis=2)
    if dead.any():
        row, frame = (int(one) for one in np.argwhere(dead)[0])
        raise InputError(f"every class of frame {frame} of row {row} is -inf; at least one must be possible.")


def _advice(values: NDArray[Any]) -> str:
    if np.isnan(values).any():
        return "Look for what made NaN in the model or its inputs."
    if values.min() >= 0 and values.max() <= 1:
        return "They look like probabilities, a softmax's output: pass np.log of them."
    return "They look like logits: pass a log_softmax of them over the classes."
