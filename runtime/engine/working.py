"""The threads of an engine, and one batch from the queue to its answers."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from .counting import BatchReport
from .delivering import deliver
from .request import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from .delivering import Result
    from .request import Request
    from .running import Runner
    from .waiting import RequestQueue

_LOG = logging.getLogger(__name__)


class Worker(threading.Thread):
    """Takes batches and serves them until the queue ends."""

    def __init__(self, queue: RequestQueue, serve: Callable[[list[Request]], None], name: str) -> None:
        """Make it; :meth:`start` starts it.

        Args:
            queue: where batches come from.
            serve: answers a batch.
            name: the thread's name.
        """
        # No daemon: a run that is going on when the program ends would be cut off inside of ONNX Runtime.
        super().__init__(name=name, daemon=False)
        self._queue, self._serve = queue, serve

    def run(self) -> None:
        """Serve."""
        while (batch := self._queue.take()) is not None:
            try:
                self._serve(batch)
            except BaseException as error:  # noqa: BLE001  (logged, and given to whoever waits)
                # A bug of ours: whoever waits must know, and the next batch must be served.
                _LOG.exception("an engine's worker failed")
                deliver([(one, error) for one in batch if not one.future.done()])
            finally:
                self._queue.done(len(batch))
            del batch  # an idle worker holds nobody's arrays


def abandoned() -> bool:
    """Whether the program has ended and only workers are left, whose engine nobody closed."""
    main = threading.main_thread()
    return not main.is_alive() and all(
        isinstance(thread, Worker) or thread.daemon or thread is main for thread in threading.enumerate()
    )


def run_batch(
    runner: Runner, batch: list[Request], began: int, clock: Callable[[], int]
) -> tuple[list[Result], BatchReport]:
    """Run requests together; where that fails, one by one, so that only the one that is at fault fails.

    Args:
        runner: runs them.
        batch: one or more requests that may run together.
        began: when they were taken, nanoseconds on the clock.
        clock: nanoseconds that only grow.

    Returns:
        The answer or the error of each, and the report.
    """
    retried = False
    found: list[Any]
    try:
        found = runner.run(batch)
    except Exception as error:  # noqa: BLE001  (whatever failed, every request gets its answer or its own error)
        retried = len(batch) > 1
        found = [_alone(runner, request) for request in batch] if retried else [error]
    run_ns = clock() - began
    rows = sum([request.place.rows for request in batch])
    waited = tuple([began - request.queued_ns for request in batch])
    results: list[Result] = []
    failed = 0
    for request, one, queue_ns in zip(batch, found, waited, strict=True):
        if isinstance(one, Exception):
            results.append((request, one))
            failed += 1
        else:
            own = request.place.rows if retried else rows
            answer = Answer(outputs=one[0], state=one[1], queue_ns=queue_ns, run_ns=run_ns, batch=own)
            results.append((request, answer))
    used, padded = runner.merger.frames(batch)
    report = BatchReport(
        requests=len(batch),
        rows=rows,
        queue_ns=waited,
        run_ns=run_ns,
        used=used,
        padded=padded,
        failed=failed,
        retried=retried,
    )
    return results, report


def _alone(runner: Runner, request: Request) -> Any:  # noqa: ANN401  (its outputs and state, or its own error)
    try:
        return runner.run([request])[0]
    except Exception as error:  # noqa: BLE001  (given to whoever asked)
        return error
