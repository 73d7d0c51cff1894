"""Answers to those who wait: futures of threads one by one, an event loop with one wake-up for a whole batch."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING

from ...errors import DeadlineError
from .request import Answer

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from .request import Request

    Result = tuple[Request, Answer | BaseException]


#: Answers that an event loop is given at once.
_PORTION = 16


def deliver(results: Iterable[Result]) -> None:
    """Give each request its answer or its error; those who no longer wait are passed over.

    Callbacks of a thread's future run here, in this thread; an event loop's in that loop.
    """
    loops: dict[asyncio.AbstractEventLoop, list[Result]] = {}
    threads = []
    for request, result in results:
        if request.loop is None:
            threads.append((request, result))
        else:
            loops.setdefault(request.loop, []).append((request, result))
    for loop, those in loops.items():
        try:
            loop.call_soon_threadsafe(_settle, loop, those)
        except RuntimeError:
            if not loop.is_closed():  # nobody waits in a loop that is closed
                raise
    for request, result in threads:
        _set(request, result)


def claim(request: Request) -> bool:
    """Begin to run a request; False where it was cancelled in the meantime."""
    future = request.future
    if isinstance(future, Future):
        if future.set_running_or_notify_cancel():
            return True
        request.let_go()
        return False
    # Read from another thread than the loop's: at worst a request is run that nobody waits for any more.
    return not future.done()


def give_up(future: asyncio.Future[Answer], after_s: float) -> None:
    """Await an answer no longer, after so many seconds; runs in the future's loop."""
    if not future.done():
        future.set_exception(
            DeadlineError(
                f"no answer came within {after_s:g} s, and none is waited for any longer. Give it more time, "
                "or ask less."
            )
        )


def _settle(loop: asyncio.AbstractEventLoop, results: list[Result]) -> None:
    """Answer some of these, and the others when the loop has come round.

    What an answer sets going, a batch of 64 for milliseconds, would else keep the loop from reading new requests while
    the engine waits for them.
    """
    for request, result in results[:_PORTION]:
        if not request.future.done():
            _set(request, result)
    if len(results) > _PORTION:
        loop.call_soon(_settle, loop, results[_PORTION:])


def _set(request: Request, result: Answer | BaseException) -> None:
    future = request.future
    request.let_go()
    if isinstance(result, Answer):
        future.set_result(result)
    else:
        future.set_exception(result)
