"""Answers to those who wait: futures of threads one by one, an event loop with one wake-up for a whole batch."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING

from .request import Answer

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from .request import Request

    Result = tuple[Request, Answer | BaseException]


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
            loop.call_soon_threadsafe(_settle, those)
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


def _settle(results: list[Result]) -> None:
    for request, result in results:
        if not request.future.done():
            _set(request, result)


def _set(request: Request, result: Answer | BaseException) -> None:
    future = request.future
    request.let_go()
    if isinstance(result, Answer):
        future.set_result(result)
    else:
        future.set_exception(result)
