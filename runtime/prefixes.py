"""The prefixes of a CTC beam, and what one more frame makes of them. See :func:`rnnx.runtime.ctc.prefix_beam`."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Self, TypeAlias

import numpy as np

from ..errors import InputError, ShapeError
from .decoded import Hypothesis

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

#: Tokens so far to the log-probabilities of the next token, ``(classes,)``; the blank's entry is not read.
LanguageModel: TypeAlias = "Callable[[tuple[int, ...]], ArrayLike]"

_NOTHING = (-inf, ())


@dataclass(frozen=True, kw_only=True, slots=True)
class Prefix:
    """A labelling of the frames so far: log-probabilities of its alignments by how they end, and the best of each."""

    tokens: tuple[int, ...]
    in_blank: float
    in_token: float
    best_in_blank: tuple[float, tuple[int, ...]]
    best_in_token: tuple[float, tuple[int, ...]]
    extra: float = 0.0  # the language model's and the bonus's share of the score

    @classmethod
    def empty(cls) -> Self:
        """What is known before the first frame: nothing was said, for certain."""
        return cls(tokens=(), in_blank=0.0, in_token=-inf, best_in_blank=(0.0, ()), best_in_token=_NOTHING)

    def hypothesis(self) -> Hypothesis:
        """The prefix as a caller sees it."""
        log_prob = float(np.logaddexp(self.in_blank, self.in_token))
        frames = max(self.best_in_blank, self.best_in_token)[1]
        return Hypothesis(
            tokens=np.array(self.tokens, np.int64),
            frames=np.array(frames, np.int64),
            log_prob=log_prob,
            score=log_prob + self.extra,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Fusion:
    """What each next token adds to a prefix's score."""

    model: LanguageModel | None
    weight: float
    bonus: float
    classes: int

    def next(self, tokens: tuple[int, ...], known: dict[tuple[int, ...], NDArray[np.float64]]) -> NDArray[np.float64]:
        """float64 ``(classes,)`` after ``tokens``; from ``known`` where it is there."""
        if tokens in known:
            return known[tokens]
        if self.model is None:
            return np.full(self.classes, self.bonus)
        answer = np.asarray(self.model(tokens))
        if answer.shape != (self.classes,) or answer.dtype.kind not in "fiu":
            raise ShapeError(
                f"language_model gave {answer.dtype} of shape {answer.shape} after {list(tokens)}; it must give one "
                f"log-probability for each class, the blank among them: shape ({self.classes},)."
            )
        if not (answer < inf).all():
            raise InputError(f"language_model gave NaN or +inf after {list(tokens)}; allowed are numbers and -inf.")
        return self.weight * answer.astype(np.float64) + self.bonus


def advance(
    beam: list[Prefix],
    frame: NDArray[np.float64],
    index: int,
    *,
    blank: int,
    beam_width: int,
    prune_log_prob: float,
    growth: dict[tuple[int, ...], NDArray[np.float64]],
) -> list[Prefix]:
    """The best prefixes after one more frame.

    Args:
        beam: the prefixes so far, at least one.
        frame: float64 ``(classes,)``, the frame's log-probabilities.
        index: the frame's number.
        blank: the class that stands for no token.
        beam_width: how many prefixes to keep.
        prune_log_prob: a class below this begins no token, unless it is the frame's best.
        growth: for each prefix of the beam, what each class behind it adds to the score.

    Returns:
        At most ``beam_width`` prefixes, the best first; none where ``growth`` forbids them all.
    """
    places = {one.tokens: place for place, one in enumerate(beam)}
    in_blank, in_token = np.array([one.in_blank for one in beam]), np.array([one.in_token for one in beam])
    last = np.array([one.tokens[-1] if one.tokens else blank for one in beam])
    total = np.logaddexp(in_blank, in_token)
    open_classes = np.where(frame < min(prune_log_prob, frame.max()), -inf, frame)
    # Every prefix with every class behind it. A token follows its like only over a blank: else they collapse.
    grown = total[:, None] + open_classes
    grown[np.arange(len(beam)), last] = in_blank + open_classes[last]
    grown[:, blank] = -inf
    stay_blank = total + frame[blank]
    stay_token = in_token + frame[last]  # -inf for the empty prefix, which never ends in a token
    best_token = [
        (one.best_in_token[0] + float(frame[token]), one.best_in_token[1])
        for one, token in zip(beam, last, strict=True)
    ]
    for place, one in enumerate(beam):
        parent = places.get(one.tokens[:-1]) if one.tokens else None
        if parent is not None:  # it also grows out of a shorter prefix: one labelling, one place in the beam
            stay_token[place] = np.logaddexp(stay_token[place], grown[parent, last[place]])
            grown[parent, last[place]] = -inf
            best_token[place] = max(best_token[place], _grown_alignment(beam[parent], last[place], open_classes, index))
    extra = np.array([one.extra for one in beam])
    added = np.stack([growth[one.tokens] for one in beam])
    stays = np.logaddexp(stay_blank, stay_token) + extra
    scores = np.concatenate((stays, (grown + extra[:, None] + added).ravel()))
    after: list[Prefix] = []
    for choice in _best(scores, beam_width):
        if choice < len(beam):
            one = beam[choice]
            score, frames = max(one.best_in_blank, one.best_in_token)
            prefix = Prefix(
                tokens=one.tokens,
                in_blank=float(stay_blank[choice]),
                in_token=float(stay_token[choice]),
                best_in_blank=(score + float(frame[blank]), frames),
                best_in_token=best_token[choice],
                extra=one.extra,
            )
        else:
            place, token = divmod(choice - len(beam), frame.size)
            prefix = Prefix(
                tokens=(*beam[place].tokens, token),
                in_blank=-inf,
                in_token=float(grown[place, token]),
                best_in_blank=_NOTHING,
                best_in_token=_grown_alignment(beam[place], token, open_classes, index),
                extra=float(extra[place] + added[place, token]),
            )
        after.append(prefix)
    return after


def _grown_alignment(
    prefix: Prefix, token: int, frame: NDArray[np.float64], index: int
) -> tuple[float, tuple[int, ...]]:
    """The most probable alignment of ``prefix`` with ``token`` behind it, which begins in this frame."""
    repeated = bool(prefix.tokens) and prefix.tokens[-1] == token
    score, frames = prefix.best_in_blank if repeated else max(prefix.best_in_blank, prefix.best_in_token)
    return score + float(frame[token]), (*frames, index)


def _best(scores: NDArray[np.float64], count: int) -> list[int]:
    """Indices of the highest scores, the best first, the lowest index first among equals; never one of -inf."""
    least = np.partition(scores, -count)[-count] if count < scores.size else -inf
    chosen = np.flatnonzero((scores >= least) & (scores > -inf))
    return [int(one) for one in chosen[np.argsort(-scores[chosen], kind="stable")][:count]]
