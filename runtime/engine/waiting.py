"""The bounded queue: fast refusal, deadlines, cancellation, and turns between clients.

Within one client requests come in order; between clients they take turns. The one whose turn it is always runs next,
so nobody waits for ever; its batch is then filled, again in turns, with those that may run together with it.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict, deque
from typing import TYPE_CHECKING

from ...errors import DeadlineError, QueueFullError, SessionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .request import Request

#: How often an idle worker looks whether the program has ended around it, in seconds.
_LOOK_S = 1.0
_NS = 1e9


class Batch:
    """Requests that will run together."""

    def __init__(self, first: Request, *, most_rows: int, padding: float, most_elements: float = math.inf) -> None:
        """Begin with the request whose turn it is, however many rows it has.

        Args:
            first: the request.
            most_rows: rows that a batch may have.
            padding: to how many times its own size no request may be padded, along any axis.
            most_elements: elements that its inputs may have, padding included.
        """
        self.requests = [first]
        self.rows = first.place.rows
        self._key = first.place.key
        self._most_rows, self._padding, self._most_elements = most_rows, padding, most_elements
        self._widest = first.place.elements / max(self.rows, 1)
        self._sizes = [(size, size) for size in first.place.sizes]

    def is_full(self) -> bool:
        """Whether nobody else may come in."""
        return self._key is None or self.rows >= self._most_rows

    def admit(self, request: Request) -> bool:
        """Take a request in, if it may run with the others; whether it does."""
        place = request.place
        if self._key is None or place.key != self._key or self.rows + place.rows > self._most_rows:
            return False
        sizes = [(min(low, size), max(high, size)) for (low, high), size in zip(self._sizes, place.sizes, strict=True)]
        if any(high > self._padding * low for low, high in sizes):
            return False
        # As if all were as wide as the widest, which padding makes of them.
        widest = max(self._widest, place.elements / place.rows)
        if (self.rows + place.rows) * widest > self._most_elements:
            return False
        self._widest = widest
        self._sizes = sizes
        self.rows += place.rows
        self.requests.append(request)
        return True


class RequestQueue:
    """Requests that wait, for one or more workers. Thread-safe; no callback runs under its lock."""

    def __init__(
        self,
        *,
        most: int,
        most_rows: int,
        padding: float,
        most_elements: float = math.inf,
        delay_ns: int = 0,
        expired: Callable[[list[Request]], None],
        clock: Callable[[], int] = time.monotonic_ns,
        abandoned: Callable[[], bool] = lambda: False,
    ) -> None:
        """Make an empty queue.

        Args:
            most: requests that may wait.
            most_rows: rows of a batch.
            padding: as for :class:`Batch`.
            most_elements: as for :class:`Batch`.
            delay_ns: how long a batch that is not full waits for company, from when its first request came.
            expired: is given requests whose time ran out while they waited; called without the lock.
            clock: nanoseconds that only grow.
            abandoned: whether the program has ended, so that an idle worker should end as well.
        """
        self._most, self._most_rows, self._padding, self._delay_ns = most, most_rows, padding, delay_ns
        self._most_elements = most_elements
        self._expired, self._clock, self._abandoned = expired, clock, abandoned
        self._clients: OrderedDict[str, deque[Request]] = OrderedDict()
        self._count = 0
        self._running = 0
        #: No request's deadline is before this; None where none has one.
        self._first_deadline: int | None = None
        self._refusal = ""
        self._ended = False
        lock = threading.Lock()
        self._came = threading.Condition(lock)  # for workers: something to do, or the end
        self._left = threading.Condition(lock)  # for those who wait for a place, or for all to be done
        self._waiters = 0

    def __len__(self) -> int:
        """How many requests wait."""
        return self._count

    @property
    def running(self) -> int:
        """How many requests were taken and are not done."""
        return self._running

    def put(self, request: Request, *, wait: bool = False) -> None:
        """Stand in line.

        Args:
            request: what to run.
            wait: wait for a place instead of being refused.

        Raises:
            QueueFullError: as many wait as may.
            SessionError: the queue was closed.
        """
        late: list[Request] = []
        try:
            with self._came:
                if self._count >= self._most:
                    late = self._drop_late(self._clock())
                while wait and self._count >= self._most and not self._refusal:
                    self._wait_left(None)
                if self._refusal:
                    raise SessionError(self._refusal)
                if self._count >= self._most:
                    raise QueueFullError(
                        f"{self._count} requests wait, and {self._most} may. Try again later, or ask less often."
                    )
                request.queued_ns = self._clock()
                request.waiting = True
                self._clients.setdefault(request.client, deque()).append(request)
                self._count += 1
                deadline = request.deadline_ns
                if deadline is not None and (self._first_deadline is None or deadline < self._first_deadline):
                    self._first_deadline = deadline
                self._came.notify()
        finally:
            if late:
                self._expired(late)

    def discard(self, request: Request) -> bool:
        """Take a request out, which frees its place at once; whether it stood there."""
        with self._came:
            if not request.waiting:
                return False
            self._remove(request)
            self._tell_left()
            return True

    def take(self) -> list[Request] | None:
        """The next batch; waits for one. None when the queue has ended and nothing is left.

        Whoever takes requests says :meth:`done` when they are answered.
        """
        while True:
            late: list[Request] = []
            with self._came:
                now = self._clock()
                if self._first_deadline is not None and now > self._first_deadline:
                    late = self._drop_late(now)
                if not late:
                    batch, pause_s = self._next(now)
                    if batch is not None:
                        for request in batch.requests:
                            self._remove(request)
                        self._give_turns(batch)
                        self._running += len(batch.requests)
                        self._tell_left()
                        return batch.requests
                    if self._ended:
                        return None
                    self._came.wait(min(pause_s, _LOOK_S))
            if late:
                self._expired(late)
            elif not self._count and self._abandoned():
                self.refuse("the program has ended, and so has its engine.")
                return None

    def done(self, count: int) -> None:
        """Say that ``count`` requests that were taken are answered."""
        with self._left:
            self._running -= count
            self._tell_left()

    def refuse(self, why: str) -> None:
        """Take no more requests; those that wait are still run."""
        with self._left:
            self._refusal = self._refusal or why
            self._came.notify_all()
            self._left.notify_all()

    def end(self, why: str) -> list[Request]:
        """Take no more requests and let the workers go; what still waited."""
        self.refuse(why)
        with self._left:
            rest = [request for waiting in self._clients.values() for request in waiting]
            for request in rest:
                self._remove(request)
            self._ended = True
            self._came.notify_all()
            self._tell_left()
            return rest

    def wait_empty(self, timeout_s: float | None) -> bool:
        """Wait until nothing waits or runs, at most so long; whether that is so."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        with self._left:
            while self._count or self._running:
                left = None if end is None else end - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self._wait_left(left)
            return True

    def _next(self, now: int) -> tuple[Batch | None, float]:
        """The batch to run now; or None, and how long to wait for more of them, in seconds."""
        if not self._count:
            return None, _LOOK_S
        lines = [iter(line) for line in self._clients.values()]
        first = next(lines[0])
        batch = Batch(first, most_rows=self._most_rows, padding=self._padding, most_elements=self._most_elements)
        self._fill(batch, [*lines[1:], lines[0]])
        left_ns = first.queued_ns + self._delay_ns - now
        if self._delay_ns and left_ns > 0 and not batch.is_full() and not self._refusal:
            soonest = left_ns if self._first_deadline is None else min(left_ns, self._first_deadline - now + 1)
            return None, max(soonest, 0) / _NS
        return batch, 0.0

    @staticmethod
    def _fill(batch: Batch, lines: list[Iterator[Request]]) -> None:
        """Let in one request of each client in turn, until nobody fits."""
        while lines and not batch.is_full():
            going_on = []
            for line in lines:
                if batch.is_full():
                    break
                if any(batch.admit(request) for request in line):  # the first of this line that fits
                    going_on.append(line)
            lines = going_on

    def _give_turns(self, batch: Batch) -> None:
        """Those who were served stand behind those who were not."""
        for request in batch.requests:
            if request.client in self._clients:
                self._clients.move_to_end(request.client)

    def _remove(self, request: Request) -> None:
        line = self._clients[request.client]
        if line[0] is request:
            line.popleft()
        else:
            line.remove(request)
        if not line:
            del self._clients[request.client]
        request.waiting = False
        self._count -= 1
        if not self._count:
            self._first_deadline = None

    def _drop_late(self, now: int) -> list[Request]:
        """Take out those whose time is over."""
        if self._first_deadline is None or now <= self._first_deadline:
            return []
        waiting = [one for line in self._clients.values() for one in line if one.deadline_ns is not None]
        late = [one for one in waiting if one.deadline_ns is not None and one.deadline_ns < now]
        for request in late:
            self._remove(request)
        deadlines = [one.deadline_ns for one in waiting if one.waiting and one.deadline_ns is not None]
        self._first_deadline = min(deadlines, default=None)
        if late:
            self._tell_left()
        return late

    def _wait_left(self, timeout_s: float | None) -> None:
        self._waiters += 1
        try:
            self._left.wait(timeout_s)
        finally:
            self._waiters -= 1

    def _tell_left(self) -> None:
        if self._waiters:
            self._left.notify_all()


def too_late(request: Request, now: int) -> DeadlineError:
    """The error of a request whose time ran out while it waited."""
    waited_ms = (now - request.queued_ns) / 1e6
    return DeadlineError(
        f"the request waited {waited_ms:.1f} ms and was not begun within its time. Give it more, or ask less at once."
    )
