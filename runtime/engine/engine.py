"""The engine: a bounded queue in front of a session, whose worker runs together what may run together.

A worker takes what is there and does not wait for more: batches form while the run before is running. Every answer is
what the session alone would give, within the variant's tolerance (floats of a batch may differ in their last bits,
because a product of matrices adds up in another order than one of vectors; integers are equal).
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from ...errors import DeadlineError, InputError, QueueFullError, SessionError, VariantError
from .bulk import mapped
from .checking import LONGEST_S, check_batching, check_counts, notes_of
from .counting import BatchReport, Counts, EngineStatistics
from .delivering import claim, deliver, give_up
from .probing import probe as probe_merging
from .request import Answer, AnswerFuture, Request
from .running import Runner
from .waiting import RequestQueue, too_late
from .working import Worker, abandoned, run_batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from numpy.typing import ArrayLike, NDArray

    from ...signature import Signature
    from ..session import Session
    from ..state import State
    from .bulk import Item

__all__ = ["Answer", "BatchReport", "Engine", "EngineStatistics"]

_LOG = logging.getLogger(__name__)
_NS = 1e9


class Engine:
    """Batches requests of many callers into runs of one session. Thread-safe; a context manager.

    It owns its threads and not the session, which others may use as well, and which must outlive it. One that nobody
    closed ends with the program.

    Attributes:
        session: what runs.
        signature: inputs, outputs, lengths and states of its variant.
        notes: what is not batched with this variant and why; empty where everything is.
        on_batch: is called in the worker's thread behind every run and before its answers; None for nobody.
    """

    def __init__(
        self,
        session: Session,
        *,
        max_batch: int = 64,
        max_queue: int = 256,
        max_delay_ms: float = 0.0,
        padding: float = 2.0,
        max_elements: int = 1 << 22,
        probe: bool = True,
        workers: int = 1,
        on_batch: Callable[[BatchReport], None] | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Start the threads.

        Args:
            session: loaded with :func:`rnnx.load`, of whole sequences or of streams.
            max_batch: rows that a batch may have; a request of more rows runs alone.
            max_queue: requests that may wait; more are refused at once.
            max_delay_ms: how long a batch that is not full waits for company, in milliseconds.
            padding: to how many times its own size no request is padded; 1 lets only equal sizes meet.
            max_elements: elements that the inputs of a batch may have, padding included, so that many long requests
                at once cannot take all memory; a larger request runs alone.
            probe: find out whether this variant answers in a batch what it answers alone, and switch off what does not
                (a few small runs). Without it the signature alone is believed.
            workers: threads, and so runs at once.
            on_batch: see above.
            clock: nanoseconds that only grow.

        Raises:
            InputError: a number is out of its range.
            SessionError: the session is closed.
        """
        check_counts(max_batch=max_batch, max_queue=max_queue, max_elements=max_elements, workers=workers)
        check_batching(max_delay_ms=max_delay_ms, padding=padding)
        self.session = session
        self.signature: Signature = session.signature
        self.on_batch = on_batch
        session.opened()
        self._runner = Runner(session)
        if probe:
            probe_merging(self._runner)
        merger = self._runner.merger
        self.notes = notes_of(merger.alone, "" if self._runner.streaming else merger.unpadded)
        most = self.signature.range(merger.batch).maximum if merger.batch else None
        self._max_queue = max_queue
        self._clock = clock
        self._counts = Counts()
        self._queue = RequestQueue(
            most=max_queue,
            most_rows=max_batch if most is None else min(max_batch, most),
            padding=padding,
            most_elements=max_elements,
            delay_ns=round(max_delay_ms * 1e6),
            expired=self._expire,
            clock=clock,
            abandoned=abandoned,
        )
        self._threads = [Worker(self._queue, self._serve, f"rnnx-engine-{number}") for number in range(workers)]
        for thread in self._threads:
            thread.start()

    def submit(
        self,
        inputs: Mapping[str, Any],
        lengths: ArrayLike | Mapping[str, ArrayLike] | None = None,
        *,
        state: State | None = None,
        finish: bool = False,
        outputs: Sequence[str] | None = None,
        timeout_s: float | None = None,
        client: str = "",
    ) -> Future[Answer]:
        """Ask, without waiting for the answer.

        Everything is checked here, in the caller's thread. The arrays must not be changed until the answer is there.

        Args:
            inputs: as for :meth:`rnnx.Session.run`, or for :meth:`rnnx.Session.step` of a stream.
            lengths: as for :meth:`rnnx.Session.run`.
            state: of streams: where they are. The answer holds where they are then.
            finish: of streams: end them behind these inputs, which may be empty. The answers of the last chunk and
                those still to come are joined along time, and there is no state after them.
            outputs: names of the outputs that are wanted; all by default.
            timeout_s: how long it may wait before it is run, in seconds. The error comes when the worker next looks,
                which is at the latest when the run that is going on has ended; :meth:`run` and :meth:`infer` raise it
                on time.
            client: who asks. Clients take turns, however much each of them asks.

        Returns:
            A future; cancelling it takes the request out of the queue at once. Its callbacks run in the worker's
            thread: they may submit, and must not wait.

        Raises:
            InputError, StateError, VariantError: what is given is wrong.
            QueueFullError: as many requests wait as may.
            DeadlineError: there is no time at all.
            SessionError: the engine is closed.
        """
        request = self._request(inputs, lengths, timeout_s, state=state, finish=finish, outputs=outputs, client=client)
        return self._enqueue(request)

    def run(
        self,
        inputs: Mapping[str, Any],
        lengths: ArrayLike | Mapping[str, ArrayLike] | None = None,
        *,
        state: State | None = None,
        finish: bool = False,
        outputs: Sequence[str] | None = None,
        timeout_s: float | None = None,
        client: str = "",
    ) -> Answer:
        """Ask, and wait for the answer; see :meth:`submit`.

        Raises:
            DeadlineError: the request was not begun within ``timeout_s``.
            SessionError: ONNX Runtime failed, the engine is closed, or this is its own thread, which would wait for
                itself.
            InputError, StateError, VariantError, QueueFullError: as for :meth:`submit`.
        """
        self._must_not_be_worker()
        request = self._request(inputs, lengths, timeout_s, state=state, finish=finish, outputs=outputs, client=client)
        future = self._enqueue(request)
        try:
            return future.result(None if timeout_s is None else min(timeout_s, LONGEST_S))
        except TimeoutError:
            if future.done():
                raise  # the worker saw first that it was too late
            if self._queue.discard(request):
                self._counts.add("expired")
                request.let_go()
                raise too_late(request, self._clock()) from None
            return future.result()
        except BaseException:
            future.cancel()  # of a caller that was interrupted
            raise

    async def infer(
        self,
        inputs: Mapping[str, Any],
        lengths: ArrayLike | Mapping[str, ArrayLike] | None = None,
        *,
        state: State | None = None,
        finish: bool = False,
        outputs: Sequence[str] | None = None,
        timeout_s: float | None = None,
        give_up_s: float | None = None,
        client: str = "",
    ) -> Answer:
        """Ask, and await the answer; see :meth:`submit`. Cancelling the task takes the request out of the queue.

        With ``give_up_s`` no answer is awaited longer than that many seconds, even where its run has begun.

        Raises:
            DeadlineError: the request was not begun within ``timeout_s``, or not answered within ``give_up_s``.
            SessionError: ONNX Runtime failed, or the engine is closed.
            InputError, StateError, VariantError, QueueFullError: as for :meth:`submit`.
        """
        loop = asyncio.get_running_loop()
        request = self._request(inputs, lengths, timeout_s, state=state, finish=finish, outputs=outputs, client=client)
        future: asyncio.Future[Answer] = loop.create_future()
        request.future, request.loop = future, loop
        self._put(request)
        timers = []
        if timeout_s is not None:
            timers.append(loop.call_later(min(timeout_s, LONGEST_S), self._expire_in_loop, request))
        if give_up_s is not None:
            timers.append(loop.call_later(min(give_up_s, LONGEST_S), give_up, future, give_up_s))
        try:
            return await future
        except (asyncio.CancelledError, DeadlineError):
            self._cancelled(request)
            raise
        finally:
            for timer in timers:
                timer.cancel()

    def map(
        self, items: Iterable[Item], *, progress: bool = False, window: int = 1024, client: str = ""
    ) -> Iterator[dict[str, NDArray[Any]]]:
        """Outputs of any number of items, in their order, in bounded memory.

        Items are read a window at a time and run in the order of their sizes, so that little is padded. They use half
        of the queue at most and wait for their places, so that others are still served.

        Args:
            items: inputs by name; or a tuple of these and their lengths.
            progress: tell on stderr how many are done: a bar on a terminal, plain lines elsewhere.
            window: how many items are read at once; two windows are held at most.
            client: as for :meth:`submit`.

        Yields:
            The outputs of each item by name.

        Raises:
            VariantError: the session is of streams, whose chunks have an order.
            InputError: ``window`` is no number of items.
            RnnxError: of the first item that is wrong or fails, with a note that says which.
        """
        self._must_not_be_worker()
        if self._runner.streaming:
            raise VariantError("map() takes whole sequences. Load the bundle with mode='offline'.")
        if type(window) is not int or window < 1:
            raise InputError(f"window is {window!r}; it must be a whole number of items from 1.")

        def prepare(item: Item) -> Request:
            return self._runner.request(*(item if isinstance(item, tuple) else (item,)), client=client)

        return mapped(
            prepare,
            partial(self._enqueue, wait=True),
            items,
            window=window,
            in_flight=max(1, self._max_queue // 2),
            progress=progress,
        )

    def full(self, ahead: int = 0) -> bool:
        """Whether a request that came now, behind so many others that are still to come, would be refused."""
        return len(self._queue) + ahead >= self._max_queue

    def statistics(self) -> EngineStatistics:
        """What the engine has done since it began, counted exactly."""
        return self._counts.read(queued=len(self._queue), running=self._queue.running)

    def drain(self, timeout_s: float | None = None) -> bool:
        """Refuse what comes from now on, and wait until everything that came before is answered.

        Args:
            timeout_s: how long to wait at most, in seconds; None for as long as it takes.

        Returns:
            Whether everything is answered. :meth:`close` is still to be called.
        """
        self._must_not_be_worker()
        self._queue.refuse("the engine takes no more requests, it is going down. Ask another server.")
        return self._queue.wait_empty(timeout_s)

    def close(self) -> None:
        """Refuse what comes, fail what waits, and end the threads when their runs have ended. Once is enough."""
        rest = self._queue.end("the engine is closed. Make another.")
        self._counts.add("failed", len(rest))
        closed = "the engine was closed while the request waited. It was not run: ask another engine."
        deliver([(request, SessionError(closed)) for request in rest if claim(request)])
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    def __enter__(self) -> Self:
        """This engine."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def _request(
        self,
        inputs: Mapping[str, Any],
        lengths: ArrayLike | Mapping[str, ArrayLike] | None,
        timeout_s: float | None,
        **others: Any,  # noqa: ANN401  (keywords of Runner.request)
    ) -> Request:
        deadline = None
        if timeout_s is not None:
            if math.isnan(timeout_s):
                raise InputError("timeout_s is NaN; it must be a number of seconds, or None for no limit.")
            if timeout_s <= 0:
                raise DeadlineError(f"the request has {timeout_s} s left, so it was not begun. Give it more time.")
            deadline = self._clock() + round(min(timeout_s, LONGEST_S) * _NS)
        return self._runner.request(inputs, lengths, deadline_ns=deadline, **others)

    def _enqueue(self, request: Request, *, wait: bool = False) -> AnswerFuture:
        """Put a request into the queue, with a future of threads."""
        future = AnswerFuture(lambda: self._cancelled(request))
        request.future = future
        self._put(request, wait=wait)
        return future

    def _put(self, request: Request, *, wait: bool = False) -> None:
        try:
            self._queue.put(request, wait=wait)
        except QueueFullError:
            self._counts.add("refused")
            raise
        self._counts.add("submitted")

    def _cancelled(self, request: Request) -> bool:
        """Take out a request that nobody waits for any more; whether it stood in the queue."""
        found = self._queue.discard(request)
        if found:
            self._counts.add("cancelled")
            request.let_go()
        return found

    def _expire(self, requests: list[Request]) -> None:
        """Tell these that they waited too long; the queue has taken them out."""
        now = self._clock()
        self._counts.add("expired", len(requests))
        deliver([(request, too_late(request, now)) for request in requests if claim(request)])

    def _expire_in_loop(self, request: Request) -> None:
        if self._queue.discard(request):
            self._expire([request])

    def _serve(self, taken: list[Request]) -> None:
        """Run a batch, answer its requests, count it. Nothing may end the worker that calls this."""
        began = self._clock()
        batch = [request for request in taken if claim(request)]
        if len(batch) < len(taken):
            self._counts.add("cancelled", len(taken) - len(batch))
        if not batch:
            return
        results, report = run_batch(self._runner, batch, began, self._clock)
        # Counted first: whoever has an answer finds it in the statistics.
        self._counts.add_batch(report)
        if self.on_batch is not None:
            try:
                self.on_batch(report)
            except Exception:  # noqa: BLE001  (somebody else's code; the worker must go on)
                _LOG.exception("Engine.on_batch failed; the batch's answers are not touched by that")
        deliver(results)

    def _must_not_be_worker(self) -> None:
        if threading.current_thread() in self._threads:
            raise SessionError(
                "this is the engine's own thread, which would wait for itself. In a callback, submit() and return."
            )
