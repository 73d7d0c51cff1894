"""One request on the service's books: counted, logged and traced, however it ends."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Self

from .logs import LOGGER, REQUEST_ID, log_event, new_request_id
from .repository import counted_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from types import TracebackType

    from .metrics import Metrics
    from .model import ServedModel
    from .tracing import Span, Tracing


class Counted:
    """Counts, logs and traces one request; a context manager, and a class, for a generator costs each request more.

    An ``inner`` chunk of a stream that goes well is told at the level ``debug``: there are thousands in a second.

    Attributes:
        batch: rows of the batch that answered it; None before.
    """

    __slots__ = (
        "_begun",
        "_clock",
        "_counts",
        "_id",
        "_inner",
        "_model",
        "_name",
        "_span",
        "_traced",
        "_tracing",
        "batch",
    )

    def __init__(
        self,
        model: ServedModel,
        metrics: Metrics,
        tracing: Tracing,
        *,
        request_id: str,
        streaming: bool,
        inner: bool,
        clock: Callable[[], int],
    ) -> None:
        """Begin to count when it is entered.

        Args:
            model: what answers.
            metrics: where it is counted.
            tracing: makes its span.
            request_id: the client's name of it, for the log.
            streaming: whether the streaming variant answers.
            inner: see above.
            clock: nanoseconds that only grow.
        """
        self.batch: int | None = None
        self._model, self._tracing, self._clock = model, tracing, clock
        self._id, self._inner = request_id, inner
        self._name = counted_name(model, streaming=streaming)
        self._counts = metrics.of(self._name)
        self._begun = 0
        self._traced: AbstractContextManager[Span | None] | None = None
        self._span: Span | None = None

    def __enter__(self) -> Self:
        """Begin."""
        self._begun = self._clock()
        self._counts.pending += 1
        self._model.users += 1
        if self._tracing.on:
            self._traced = self._tracing.request(self._name, {})
            self._span = self._traced.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """It was answered, or failed."""
        try:
            if self._traced is not None:
                if self._span is not None and error is None:
                    self._span.set_attribute("rnnx.batch", self.batch or 0)
                self._traced.__exit__(kind, error, traceback)
        finally:
            self._close("ok" if error is None else type(error).__name__, error)

    def _close(self, status: str, error: BaseException | None) -> None:
        taken = self._clock() - self._begun
        if error is None:
            self._counts.answered(taken)
        else:
            self._counts.failed(taken, error)
        self._model.users -= 1
        self._counts.pending -= 1
        level = logging.DEBUG if self._inner and error is None else logging.INFO
        if LOGGER.isEnabledFor(level):
            told: dict[str, Any] = {} if self.batch is None else {"batch": self.batch}
            request_id = REQUEST_ID.get() or self._id or new_request_id()
            ms = round(taken / 1e6, 3)
            log_event("request", level=level, request_id=request_id, model=self._name, status=status, ms=ms, **told)
