"""What an engine has done, counted exactly."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchReport:
    """One run of a session.

    Attributes:
        requests: how many requests were in it.
        rows: how many rows they had together.
        queue_ns: how long each of them waited, in nanoseconds.
        run_ns: how long the run took, stacking and splitting with it, in nanoseconds.
        used: frames of the requests, rows times their sizes along the axes that may be padded; rows where there are no
            such axes.
        padded: frames that were run: ``used`` and padding.
        failed: how many of its requests failed.
        retried: whether the batch failed as a whole and its requests were then run one by one.
    """

    requests: int
    rows: int
    queue_ns: tuple[int, ...]
    run_ns: int
    used: int
    padded: int
    failed: int = 0
    retried: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineStatistics:
    """What an engine has done since it began. Every request that came is counted in exactly one way.

    ``submitted == answered + failed + expired + cancelled + queued + running``; ``refused`` ones never came in.

    Attributes:
        submitted: requests that came into the queue.
        answered: requests that were answered.
        failed: requests whose run failed, or that still waited when the engine was closed.
        refused: requests that were refused because the queue was full.
        expired: requests whose time ran out while they waited.
        cancelled: requests that were cancelled before they ran.
        queued: requests that wait now.
        running: requests that run now.
        batches: runs.
        rows: rows in all runs.
        queue_ns: time that requests that were run had waited, all together, in nanoseconds.
        run_ns: time of all runs, in nanoseconds.
        used: frames of requests, see :class:`BatchReport`.
        padded: frames that were run.
        batch_rows: how many runs had how many rows.
    """

    submitted: int = 0
    answered: int = 0
    failed: int = 0
    refused: int = 0
    expired: int = 0
    cancelled: int = 0
    queued: int = 0
    running: int = 0
    batches: int = 0
    rows: int = 0
    queue_ns: int = 0
    run_ns: int = 0
    used: int = 0
    padded: int = 0
    batch_rows: Mapping[int, int] = field(default_factory=dict)


class Counts:
    """The counters behind :class:`EngineStatistics`. Thread-safe."""

    def __init__(self) -> None:
        """All zeros."""
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._batch_rows: Counter[int] = Counter()

    def add(self, what: str, count: int = 1) -> None:
        """Count requests; ``what`` is one of the attributes of :class:`EngineStatistics`."""
        with self._lock:
            self._counts[what] += count

    def add_batch(self, report: BatchReport) -> None:
        """Count a run and its requests."""
        with self._lock:
            counts = self._counts
            counts["answered"] += report.requests - report.failed
            counts["failed"] += report.failed
            counts["batches"] += 1
            counts["rows"] += report.rows
            counts["queue_ns"] += sum(report.queue_ns)
            counts["run_ns"] += report.run_ns
            counts["used"] += report.used
            counts["padded"] += report.padded
            self._batch_rows[report.rows] += 1

    def read(self, *, queued: int, running: int) -> EngineStatistics:
        """The counts as they are now."""
        with self._lock:
            return EngineStatistics(
                queued=queued, running=running, batch_rows=dict(sorted(self._batch_rows.items())), **self._counts
            )
