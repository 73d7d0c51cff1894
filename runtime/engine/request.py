"""One request on its way through an engine, and its answer."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from numpy.typing import NDArray

    from ..state import State


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What an engine gives back. Its arrays are nobody else's.

    Attributes:
        outputs: arrays by output name, as the session alone would give them.
        state: where the streams are now; None of a session of whole sequences, and of streams that were finished.
        queue_ns: time that the request waited, in nanoseconds.
        run_ns: time that its batch took to run, in nanoseconds.
        batch: rows of the batch that it was run in, its own among them.
    """

    outputs: dict[str, NDArray[Any]]
    state: State | None = None
    queue_ns: int
    run_ns: int
    batch: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a request may stand in a batch.

    Attributes:
        rows: its own rows.
        key: only requests of equal keys run together; None of one that runs alone.
        sizes: its sizes along the axes that are padded, in the merger's order.
        elements: of all its inputs.
    """

    rows: int
    key: Hashable
    sizes: tuple[int, ...] = ()
    elements: int = 0


#: In the place of the future of a request that is done, or that has none yet.
_GONE: Future[Answer] = Future()
_GONE.cancel()


@dataclass(kw_only=True, slots=True, eq=False)
class Request:
    """A request that was checked. It is only itself (``eq=False``): the queue finds it by identity.

    Attributes:
        feed: the inputs of the graph by name, checked; of a stream those without states, empty where it only ends.
        names: outputs that are asked for.
        place: with whom it may run.
        client: whose turn it takes.
        state: of a stream: where it is.
        finish: whether the stream ends behind these inputs.
        deadline_ns: time on the engine's clock by which it must have begun, or None.
        queued_ns: when it came into the queue.
        waiting: whether it stands in the queue; only the queue writes this, under its lock.
        future: what waits for the answer.
        loop: the event loop that ``future`` belongs to; None of a future of threads.
    """

    feed: Mapping[str, NDArray[Any]]
    names: Sequence[str]
    place: Place
    client: str = ""
    state: State | None = None
    finish: bool = False
    deadline_ns: int | None = None
    queued_ns: int = 0
    waiting: bool = False
    future: Future[Answer] | asyncio.Future[Answer] = _GONE  # until whoever asks gives theirs
    loop: asyncio.AbstractEventLoop | None = None

    def let_go(self) -> None:
        """Forget the arrays and the future, once that is done.

        The future knows the request, to cancel it: a circle that would keep arrays until Python looks for such.
        """
        self.feed, self.state, self.future = {}, None, _GONE


class AnswerFuture(Future[Answer]):
    """A future whose :meth:`cancel` takes its request out of the queue at once, which frees the place."""

    def __init__(self, leave: Callable[[], bool]) -> None:
        """Make it.

        Args:
            leave: takes the request out of the queue; whether it stood there.
        """
        super().__init__()
        self._leave = leave

    def cancel(self) -> bool:
        """Cancel the request, unless it runs already; whether that went well."""
        if not super().cancel():
            return False
        if self._leave():
            # Nobody else will: this wakes those who stand in concurrent.futures.wait() and as_completed().
            self.set_running_or_notify_cancel()
        return True
