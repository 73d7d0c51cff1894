"""Streams by key: the one place where a server keeps the states of its clients' streams.

A stream is begun, leased for one chunk at a time, and ended; one that is idle for too long is dropped. A lease is
exclusive, because a stream has an order: a second request of the same key is refused, never queued behind the first.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from ...errors import InputError, StreamBusyError, StreamExistsError, StreamNotFoundError, TooManyStreamsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..state import State

K = TypeVar("K", bound=Hashable)

#: Of how many streams that are gone the table remembers why.
_REMEMBERED = 1024


@dataclass(slots=True, eq=False)
class _Held:
    """One stream: its state, whether a chunk was ever answered, and when it was last used (seconds)."""

    state: State
    fresh: bool = True
    leased: bool = True
    used: float = 0.0


class StreamTable(Generic[K]):
    """The streams of one model. Thread-safe. A stream in use never expires."""

    def __init__(
        self, *, max_streams: int = 10_000, idle_s: float = 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """An empty table.

        Args:
            max_streams: how many streams may be open.
            idle_s: how long a stream may be idle, in seconds.
            clock: seconds that only grow.

        Raises:
            InputError: a number is out of its range.
        """
        if type(max_streams) is not int or max_streams < 1:
            raise InputError(f"max_streams is {max_streams!r}; it must be a whole number from 1.")
        if not idle_s > 0:
            raise InputError(f"idle_s is {idle_s!r}; it must be a number of seconds above 0.")
        self.max_streams, self.idle_s = max_streams, idle_s
        self._clock = clock
        self._lock = threading.Lock()
        self._held: dict[K, _Held] = {}
        #: Streams that nobody has leased, the one that was used longest ago first.
        self._idle: OrderedDict[K, None] = OrderedDict()
        self._gone: OrderedDict[K, str] = OrderedDict()

    def begin(self, key: K, initial: State, *, replace: bool = False) -> Lease[K]:
        """Begin a stream and lease it for its first chunk. If that is not committed, the stream never was.

        Args:
            key: the client's name of it.
            initial: where it begins.
            replace: begin anew where a stream of this key is open.

        Raises:
            StreamExistsError: it is open, and ``replace`` is false.
            StreamBusyError: it is open and in use.
            TooManyStreamsError: as many streams are open as may.
        """
        with self._lock:
            self._expire()
            there = self._held.get(key)
            if there is not None and there.leased:
                raise self._busy(key)
            if there is not None and not replace:
                raise StreamExistsError(
                    f"stream {key!r} was begun already and is open. Go on with it without START, end it, or take "
                    "another id."
                )
            if there is None and len(self._held) >= self.max_streams:
                raise TooManyStreamsError(
                    f"{len(self._held)} streams are open, and {self.max_streams} may. Try again later; streams that "
                    f"are idle for {self.idle_s:g} s are dropped."
                )
            self._idle.pop(key, None)
            self._gone.pop(key, None)
            held = _Held(initial)
            self._held[key] = held
            # A stream that takes another's place and fails leaves that one as it was.
            return Lease(self, key, held, before=there)

    def lease(self, key: K) -> Lease[K]:
        """Lease an open stream for one chunk.

        Raises:
            StreamNotFoundError: it was never begun, has ended, or was idle for too long.
            StreamBusyError: it is in use.
        """
        with self._lock:
            self._expire()
            held = self._held.get(key)
            if held is None:
                raise self._missing(key)
            if held.leased:
                raise self._busy(key)
            held.leased = True
            del self._idle[key]
            return Lease(self, key, held)

    def end(self, key: K) -> None:
        """End a stream that is not in use.

        Raises:
            StreamNotFoundError: it is not open.
            StreamBusyError: it is in use.
        """
        with self._lock:
            held = self._held.get(key)
            if held is None:
                raise self._missing(key)
            if held.leased:
                raise self._busy(key)
            self._drop(key, "it has ended")

    def expire(self) -> list[K]:
        """Drop the streams that were idle for too long; their keys."""
        with self._lock:
            return self._expire()

    def end_all(self, why: str) -> list[K]:
        """End every stream, those in use as well, whose commits fail then; their keys.

        Args:
            why: what a client that goes on is told, such as ``the server goes down``.
        """
        with self._lock:
            keys = list(self._held)
            for key in keys:
                self._drop(key, why)
            return keys

    def __len__(self) -> int:
        """How many streams are open."""
        return len(self._held)

    def __contains__(self, key: object) -> bool:
        """Whether this stream is open."""
        return key in self._held

    def nbytes(self) -> int:
        """Bytes of all states."""
        with self._lock:
            states = [held.state for held in self._held.values()]
        return sum(state.nbytes() for state in states)

    def carry_on(self, lease: Lease[K], state: State) -> None:
        """For :meth:`Lease.commit`."""
        with self._lock:
            self._check_open(lease)
            lease.held.state = state
            lease.held.fresh = False

    def end_leased(self, lease: Lease[K]) -> None:
        """For :meth:`Lease.end`."""
        with self._lock:
            self._check_open(lease)
            self._drop(lease.key, "it has ended")

    def give_back(self, lease: Lease[K]) -> None:
        """For :meth:`Lease.release`."""
        key, held = lease.key, lease.held
        with self._lock:
            if self._held.get(key) is not held:
                return  # it was ended
            if held.fresh:
                if lease.before is None:
                    self._drop(key, "its first chunk failed")
                    return
                held = self._held[key] = lease.before
            held.leased = False
            held.used = self._clock()
            self._idle[key] = None

    def _check_open(self, lease: Lease[K]) -> None:
        if self._held.get(lease.key) is not lease.held:
            raise self._missing(lease.key)

    def _expire(self) -> list[K]:
        oldest = self._clock() - self.idle_s
        keys = []
        for key in self._idle:
            if self._held[key].used > oldest:
                break
            keys.append(key)
        for key in keys:
            self._drop(key, f"it was idle for {self.idle_s:g} s")
        return keys

    def _drop(self, key: K, why: str) -> None:
        del self._held[key]
        self._idle.pop(key, None)
        self._gone[key] = why
        if len(self._gone) > _REMEMBERED:
            self._gone.popitem(last=False)

    def _missing(self, key: K) -> StreamNotFoundError:
        why = self._gone.get(key, "it was never begun, or is long gone")
        return StreamNotFoundError(f"stream {key!r} is not open: {why}. Begin it with START.")

    @staticmethod
    def _busy(key: K) -> StreamBusyError:
        return StreamBusyError(
            f"stream {key!r} is in use: another request of it is being answered. Wait for that answer before the next."
        )


class Lease(Generic[K]):
    """One stream for one chunk, used by one caller: a context manager that gives the stream back.

    Attributes:
        key: the stream.
        state: where it is.
        held: the table's own entry.
        before: the entry that this stream takes the place of, or None.
    """

    def __init__(self, table: StreamTable[K], key: K, held: _Held, before: _Held | None = None) -> None:
        """Made by :meth:`StreamTable.begin` and :meth:`StreamTable.lease`."""
        self.key = key
        self.state = held.state
        self._table, self.held, self.before = table, held, before
        self._open = True

    def commit(self, state: State) -> None:
        """Carry the stream on: the chunk was answered. Without this it stays where it was.

        Raises:
            StreamNotFoundError: the stream was ended in the meantime, or the lease was given back.
        """
        self._must_be_open()
        self._table.carry_on(self, state)
        self.state = state

    def end(self) -> None:
        """End the stream: this was its last chunk.

        Raises:
            StreamNotFoundError: as for :meth:`commit`.
        """
        self._must_be_open()
        self._table.end_leased(self)

    def release(self) -> None:
        """Give the stream back; from now on it is idle. Once is enough."""
        if self._open:
            self._open = False
            self._table.give_back(self)

    def _must_be_open(self) -> None:
        if not self._open:
            raise StreamNotFoundError(f"the lease of stream {self.key!r} was given back. Lease it again.")

    def __enter__(self) -> Self:
        """This lease."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give the stream back."""
        self.release()
