"""Sound and series answered chunk by chunk, as they would come from a microphone or a sensor."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError, TaskError, VariantError
from ..ctc import greedy_step, initial
from .read_kinds import AudioRead, SeriesRead
from .results import ScoresResult, TagsResult, TextResult
from .write_kinds import CtcWrite, ForecastWrite, LabelsWrite, ScoresWrite, TagsWrite
from .writing import answer, log_probabilities

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ..ctc import GreedyState
    from ..session import Session
    from .description import Description
    from .reading import Item
    from .results import Result
    from .writing import Whole

#: Seconds of sound in a chunk, and rows of a series, unless the caller says otherwise.
_SECONDS, _ROWS = 0.1, 1


def check_streams(description: Description, session: Session) -> None:
    """Refuse a task that is not answered step by step, and a session that cannot.

    Raises:
        TaskError: the task reads or answers something that has no steps in time.
        VariantError: the session is not of a streaming variant.
    """
    read, write = description.read, description.write
    steps = isinstance(write, TagsWrite | ScoresWrite | CtcWrite) or (
        isinstance(write, LabelsWrite | ForecastWrite) and write.over_time == "last"
    )
    if not isinstance(read, AudioRead | SeriesRead) or not steps:
        raise TaskError(
            f"the task '{description.task}' reads {read.kind} and answers {write.kind} as a whole, so it has no "
            "answers for chunks. Call it without a stream."
        )
    if isinstance(write, CtcWrite) and write.beam_width > 1:
        raise TaskError(f"a search of {write.beam_width} prefixes has its answer at the end. Call it without a stream.")
    if session.variant.mode != "streaming":
        raise VariantError("a stream runs on the streaming variant. Load that: mode='streaming'.")


def stream(description: Description, session: Session, item: Item, steps: int | None) -> Iterator[Result]:
    """The answers to the chunks of one source, as they come.

    Args:
        description: of a task that passed :func:`check_streams`.
        session: of the streaming variant.
        item: what was read.
        steps: samples or rows of a chunk; None for a tenth of a second, or one row.

    Raises:
        InputError: ``steps`` is no number of steps.
        SessionError: ONNX Runtime failed, or the model's answer is none.
    """
    write, read = description.write, description.read
    usual = max(1, round(read.sample_rate * _SECONDS)) if isinstance(read, AudioRead) else _ROWS
    size = _checked(usual if steps is None else steps)
    teller = _Teller(write, item)  # type: ignore[arg-type]  # check_streams refused all others
    state = session.initial_state(1)
    for chunk in _chunks(item, session, size):
        outputs, state = session.step(chunk, state)
        yield from teller.tell(outputs)
    yield from teller.tell(session.finish(state))


def _checked(steps: object) -> int:
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise InputError(f"a chunk has {steps!r} steps; it must be a whole number from 1.")
    return steps


class _Teller:
    """Turns the outputs of chunks into answers, and counts the steps that were answered."""

    def __init__(self, write: Whole, item: Item) -> None:
        self._write, self._item = write, item
        self._first = 0
        self._decoder: GreedyState | None = None
        self._spelled = False

    def tell(self, outputs: dict[str, NDArray[Any]]) -> Iterator[Result]:
        """The answer to a chunk; none where the model waits for more, or says nothing new."""
        values = outputs.get(self._write.output)
        if values is None or values.shape[1] == 0:
            return
        first, self._first = self._first, self._first + values.shape[1]
        if isinstance(self._write, CtcWrite):
            yield from self._spell(self._write, values)
            return
        found = answer(self._write, {self._write.output: values[0]}, self._item, over_time=True)
        yield replace(found, first=first) if isinstance(found, ScoresResult | TagsResult) else found

    def _spell(self, write: CtcWrite, values: NDArray[Any]) -> Iterator[Result]:
        frames = np.minimum(log_probabilities(values, write.form), 0.0)
        (found,), self._decoder = greedy_step(frames, self._decoder or initial(1, blank=write.blank))
        ids = tuple(found.tokens.tolist())
        if ids:
            text = write.join.join(write.symbols[one] for one in ids)
            # What joins this chunk's first symbol to the one before it.
            text = write.join + text if self._spelled else text
            self._spelled = True
            yield TextResult(text=text, ids=ids, score=found.log_prob)


def _chunks(item: Item, session: Session, steps: int) -> Iterator[dict[str, NDArray[Any]]]:
    """The inputs of each chunk, with their batch axis; what has no time goes into every one."""
    signature = session.signature
    time = signature.time_axis
    places = {
        name: axes.index(time) - 1
        for name in item.inputs
        if time is not None and time in (axes := signature.input(name).axes)
    }
    if not places:
        raise TaskError("nothing that is read has an axis of time, so there are no chunks. Call it without a stream.")
    count = max(item.inputs[name].shape[at] for name, at in places.items())
    for start in range(0, count, steps):
        chunk = range(start, min(start + steps, count))
        yield {
            name: (np.take(array, chunk, axis=places[name]) if name in places else array)[None]
            for name, array in item.inputs.items()
        }
