"""Greedy decoding of a recurrent neural network transducer (RNN-T).

A transducer scores the next class from a frame of the encoder and the prediction network's answer to the tokens so far
(Graves, "Sequence Transduction with Recurrent Neural Networks", 2012). At each frame the best class is taken: a token
goes into the prediction network and the frame is asked again; the blank ends the frame.

The rows of a batch do not wait for each other: each has a frame of its own, and only the rows that emitted a token run
through the prediction network. A batch therefore takes as many joins as its longest row needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..errors import DtypeError, InputError, ShapeError
from .decoded import Hypothesis, check_whole, checked_lengths

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

#: The prediction network's state, arrays by name such as ``h`` and ``c``; empty where it has none.
State: TypeAlias = "Mapping[str, NDArray[Any]]"
#: Tokens int64 ``(batch, 1)`` and a state to what is predicted, ``(batch, 1, features)``, and the next state.
Predict: TypeAlias = "Callable[[NDArray[np.int64], State], tuple[NDArray[Any], State]]"
#: A frame ``(batch, 1, features)`` and what is predicted to logits ``(batch, 1, 1, classes)`` or ``(batch, classes)``.
Join: TypeAlias = "Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]]"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TransducerState:
    """What greedy decoding carries from one chunk to the next.

    Attributes:
        last: int64 ``(batch,)``, each row's last token; the start token before the first.
        predicted: ``(batch, 1, features)``, the prediction network's answer to it.
        state: the prediction network's state after it.
        frames: int64 ``(batch,)``, the number of frames that each row has seen.
        log_probs: float64 ``(batch,)``, the log-probability of each row's path so far.
        blank: the class that ends a frame.
        batch_axis: the batch axis of each array of ``state``.
    """

    last: NDArray[np.int64]
    predicted: NDArray[Any]
    state: State
    frames: NDArray[np.int64]
    log_probs: NDArray[np.float64]
    blank: int
    batch_axis: Mapping[str, int]


def greedy(
    encoded: NDArray[Any],
    *,
    predict: Predict,
    join: Join,
    initial_state: State,
    blank: int = 0,
    start_token: int | None = None,
    batch_axis: int | Mapping[str, int] = 0,
    max_symbols_per_frame: int = 10,
    lengths: ArrayLike | None = None,
) -> list[Hypothesis]:
    """Decode whole sequences. See :func:`initial` and :func:`greedy_step` for the arguments.

    Returns:
        One hypothesis for each row; its ``log_prob`` is that of the path, blanks included.

    Raises:
        InputError: the arguments, or what ``predict`` or ``join`` gave, are wrong; DtypeError and ShapeError are kinds
            of it.
    """
    batch = _checked(encoded).shape[0]
    state = initial(
        batch,
        predict=predict,
        initial_state=initial_state,
        blank=blank,
        start_token=start_token,
        batch_axis=batch_axis,
    )
    return greedy_step(
        encoded, state, predict=predict, join=join, lengths=lengths, max_symbols_per_frame=max_symbols_per_frame
    )[0]


def initial(
    batch: int,
    *,
    predict: Predict,
    initial_state: State,
    blank: int = 0,
    start_token: int | None = None,
    batch_axis: int | Mapping[str, int] = 0,
) -> TransducerState:
    """The state before the first chunk of ``batch`` rows. Runs the prediction network once.

    Args:
        batch: number of rows.
        predict: the prediction network; see :data:`Predict`. It must not change the state that it is given.
        initial_state: its state before the first token, for ``batch`` rows; ``{}`` where it has none.
        blank: the class that ends a frame.
        start_token: what the prediction network hears first; the blank by default.
        batch_axis: the batch axis of the state's arrays: one for all, such as 1 for an LSTM's ``h`` and ``c``
            ``(num_layers, batch, hidden_size)``, or by name.

    Raises:
        InputError: a number is negative or no whole number; ShapeError: the state, or what ``predict`` gave, does not
            have ``batch`` rows.
    """
    check_whole("batch", batch, 0)
    check_whole("blank", blank, 0)
    start = blank if start_token is None else start_token
    check_whole("start_token", start, 0)
    axes = _axes(initial_state, batch_axis)
    for name, array in initial_state.items():
        if array.shape[axes[name]] != batch:
            raise ShapeError(
                f"state '{name}' has {array.shape[axes[name]]} rows on axis {axes[name]}, shape {array.shape}; "
                f"the batch has {batch}. Name the axis of the rows: batch_axis=1 for (num_layers, batch, hidden_size)."
            )
    last = np.full(batch, start, np.int64)
    predicted, state = _predicted(predict, last, initial_state)
    # Copies: a model that answers in buffers of its own would change a state that somebody keeps.
    return TransducerState(
        last=last,
        predicted=predicted.copy(),
        state={name: array.copy() for name, array in state.items()},
        frames=np.zeros(batch, np.int64),
        log_probs=np.zeros(batch),
        blank=int(blank),
        batch_axis=axes,
    )


def greedy_step(
    encoded: NDArray[Any],
    state: TransducerState,
    *,
    predict: Predict,
    join: Join,
    lengths: ArrayLike | None = None,
    max_symbols_per_frame: int = 10,
) -> tuple[list[Hypothesis], TransducerState]:
    """Decode one chunk. However a sequence is cut, the chunks' tokens and frames together are those of :func:`greedy`.

    Args:
        encoded: floats ``(batch, time, features)``, the encoder's answer; any number of frames, also none.
        state: what the chunk before gave, or :func:`initial`. It is not changed.
        predict: the prediction network; see :data:`Predict`. It is called with the rows that emitted a token, which
            may be fewer than the batch. It must not change the state that it is given.
        join: the joint network; see :data:`Join`. It is called with the rows that have frames left. Its logits may be
            log-probabilities.
        lengths: whole numbers ``(batch,)``, frames of each row in this chunk. All by default.
        max_symbols_per_frame: after so many tokens at one frame the next frame's turn comes, without a blank.

    Returns:
        For each row the tokens that this chunk gave, their frames counted from the first chunk's start, and the
        log-probability of the row's whole path so far; and the next state. Where classes tie, the lowest wins.

    Raises:
        InputError: the arguments, or what ``predict`` or ``join`` gave, are wrong; DtypeError and ShapeError are kinds
            of it.
    """
    array = _checked(encoded)
    batch, time, _ = array.shape
    if state.last.shape != (batch,):
        raise ShapeError(
            f"the state holds {state.last.shape[0]} rows and encoded has {batch}, shape {array.shape}. "
            f"Rows must stay in their place from chunk to chunk; begin with initial({batch}, ...)."
        )
    check_whole("max_symbols_per_frame", max_symbols_per_frame, 1)
    sizes = checked_lengths(lengths, batch, time)
    last, log_probs = state.last.copy(), state.log_probs.copy()
    predicted, memory, axes = state.predicted.copy(), state.state, state.batch_axis
    at, symbols = np.zeros(batch, np.int64), np.zeros(batch, np.int64)
    tokens: list[list[int]] = [[] for _ in range(batch)]
    frames: list[list[int]] = [[] for _ in range(batch)]
    while (rows := np.flatnonzero(at < sizes)).size:
        scores = _joined(join, array[rows, at[rows]][:, None], predicted[rows], state.blank)
        best = scores.argmax(axis=1)
        log_probs[rows] += scores[np.arange(rows.size), best]
        emits = best != state.blank
        speaking, said = rows[emits], best[emits].astype(np.int64)
        if speaking.size:
            for row, token in zip(speaking.tolist(), said.tolist(), strict=True):
                tokens[row].append(token)
                frames[row].append(int(state.frames[row] + at[row]))
            last[speaking] = said
            taken = {name: np.take(memory[name], speaking, axis) for name, axis in axes.items()}
            predicted[speaking], fresh = _predicted(predict, said, taken, like=predicted)
            memory = {name: _put(memory[name], speaking, axis, fresh[name]) for name, axis in axes.items()}
            symbols[speaking] += 1
        onward = rows[~emits | (symbols[rows] >= max_symbols_per_frame)]
        at[onward] += 1
        symbols[onward] = 0
    found = [
        Hypothesis(
            tokens=np.array(tokens[row], np.int64),
            frames=np.array(frames[row], np.int64),
            log_prob=float(log_probs[row]),
            score=float(log_probs[row]),
        )
        for row in range(batch)
    ]
    after = TransducerState(
        last=last,
        predicted=predicted,
        state=memory,
        frames=state.frames + sizes,
        log_probs=log_probs,
        blank=state.blank,
        batch_axis=axes,
    )
    return found, after


def _checked(encoded: NDArray[Any]) -> NDArray[Any]:
    array = np.asarray(encoded)
    if array.dtype.kind != "f":
        raise DtypeError(f"encoded has dtype {array.dtype}; it must be float32, float64 or float16.")
    if array.ndim != 3:
        raise ShapeError(
            f"encoded has {array.ndim} axes, shape {array.shape}; it must have 3: (batch, time, features). "
            "For one row without its batch axis, pass encoded[None]."
        )
    return array


def _joined(join: Join, frames: NDArray[Any], predicted: NDArray[Any], blank: int) -> NDArray[np.float64]:
    """Log-probabilities float64 ``(rows, classes)`` of the next class."""
    logits = np.asarray(join(frames, predicted))
    rows = frames.shape[0]
    if logits.shape not in ((rows, *logits.shape[-1:]), (rows, 1, 1, *logits.shape[-1:])):
        raise ShapeError(
            f"join gave shape {logits.shape} for {rows} rows; "
            f"it must give ({rows}, 1, 1, classes) or ({rows}, classes)."
        )
    classes = logits.shape[-1]
    if blank >= classes:
        raise InputError(f"blank is {blank}, and join gave {classes} classes; allowed is 0 <= blank < {classes}.")
    scores = logits.reshape(rows, classes).astype(np.float64)
    top = scores.max(axis=1, keepdims=True)  # NaN wherever the row holds one
    if not np.isfinite(top).all():
        raise InputError(
            "join gave NaN, +inf, or -inf for every class; each row must have a class that is possible. Look for what "
            "made it in the models or in the frames."
        )
    scores -= top
    return np.asarray(scores - np.log(np.exp(scores).sum(axis=1, keepdims=True)))


def _predicted(
    predict: Predict,
    tokens: NDArray[np.int64],
    state: State,
    *,
    like: NDArray[Any] | None = None,
) -> tuple[NDArray[Any], State]:
    """Run the prediction network and hold what it gave against what went in."""
    answer, after = predict(tokens[:, None], state)
    predicted = np.asarray(answer)
    features = "features" if like is None else like.shape[2]
    right = predicted.ndim == 3 and predicted.shape[:2] == (tokens.size, 1)
    if not right or (like is not None and predicted.shape[2] != features):
        raise ShapeError(
            f"predict gave shape {predicted.shape} for {tokens.size} rows; it must give ({tokens.size}, 1, {features})."
        )
    if like is not None and predicted.dtype != like.dtype:
        raise DtypeError(f"predict gave {predicted.dtype}, and {like.dtype} before; it must keep to one dtype.")
    _check_same(state, after)
    return predicted, {name: np.asarray(after[name]) for name in state}


def _axes(state: State, batch_axis: int | Mapping[str, int]) -> dict[str, int]:
    """The batch axis of each of the state's arrays."""
    if not isinstance(state, Mapping):
        raise InputError(
            f"the state is a {type(state).__name__}; it must be a mapping of names to arrays, {{}} where there is none."
        )
    axes = dict.fromkeys(state, batch_axis) if isinstance(batch_axis, int) else dict(batch_axis)
    if axes.keys() != state.keys():
        raise InputError(f"batch_axis names {sorted(axes)}, the state {sorted(state)}; each array needs its axis.")
    for name, array in state.items():
        if not isinstance(array, np.ndarray):
            raise InputError(f"state '{name}' is a {type(array).__name__}; it must be a NumPy array.")
        if not 0 <= axes[name] < array.ndim:
            raise ShapeError(f"state '{name}' has shape {array.shape}, and so no batch axis {axes[name]}.")
    return axes


def _check_same(given: State, found: object) -> None:
    """The prediction network's next state must be of its state's form, else rows could not be put back."""
    if not isinstance(found, Mapping) or found.keys() != given.keys():
        names = sorted(found) if isinstance(found, Mapping) else type(found).__name__
        raise InputError(f"predict gave the state {names}; it must give what it was given, {sorted(given)}.")
    for name, array in given.items():
        new = np.asarray(found[name])
        if new.shape != array.shape:
            raise ShapeError(f"predict gave state '{name}' of shape {new.shape}; it must have {array.shape}.")
        if new.dtype != array.dtype:
            raise DtypeError(f"predict gave state '{name}' as {new.dtype}; it must be {array.dtype}.")


def _put(array: NDArray[Any], rows: NDArray[np.int64], axis: int, new: NDArray[Any]) -> NDArray[Any]:
    """A copy of ``array`` with ``new`` in place of these rows: the other rows keep their state."""
    changed = array.copy()
    changed[(slice(None),) * axis + (rows,)] = new
    return changed
