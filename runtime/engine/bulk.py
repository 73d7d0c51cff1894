"""Many items through an engine, in order, in bounded memory."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from itertools import count, islice
from operator import length_hint
from typing import TYPE_CHECKING, Any

from .progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from .request import Answer, Request

    #: An item: inputs by name, or these and their lengths.
    Item = Mapping[str, Any] | tuple[Mapping[str, Any], Any]


def mapped(
    prepare: Callable[[Item], Request],
    enqueue: Callable[[Request], Future[Answer]],
    items: Iterable[Item],
    *,
    window: int,
    in_flight: int,
    progress: bool,
) -> Iterator[dict[str, NDArray[Any]]]:
    """Answers to items, in their order.

    Items are read a window at a time and run in the order of their sizes, so that those that share a run need little
    padding. The next window is under way while this one is given out, and no more than two are ever held.

    Args:
        prepare: a request of an item, checked and not yet in the queue.
        enqueue: puts it into the queue; waits for a place.
        items: any number of them.
        window: how many are read at once.
        in_flight: how many may be in the queue at once; the rest of it is left to others.
        progress: tell on stderr how many are done.

    Raises:
        RnnxError: of the first item that is wrong or fails, with a note that says which; those behind it are cancelled.
    """
    places = threading.Semaphore(in_flight)
    source, numbers = iter(items), count()
    told = Progress(length_hint(items)) if progress else None
    windows: list[list[Future[Answer] | Exception]] = []
    try:
        while True:
            read = list(islice(source, window))
            more = bool(read)
            if more:
                futures, requests = _prepared(prepare, read)
                read.clear()  # the requests hold what is needed of them
                windows.append(futures)
                for number, request in requests:
                    futures[number] = _enqueued(enqueue, request, places)
            if windows and (len(windows) > 1 or not more):
                yield from _answers(windows[0], numbers, told)
                del windows[0]
            if not more:
                return
    finally:
        for futures in windows:
            for future in futures:
                if isinstance(future, Future):
                    future.cancel()
        if told is not None:
            told.close()


def _prepared(
    prepare: Callable[[Item], Request], items: list[Item]
) -> tuple[list[Future[Answer] | Exception], list[tuple[int, Request]]]:
    """A place for each item, with the error of one that is wrong; and the numbered requests of the others, by size."""
    places: list[Future[Answer] | Exception] = []
    requests: list[tuple[int, Request]] = []
    for number, item in enumerate(items):
        try:
            requests.append((number, prepare(item)))
            places.append(Future())
        except Exception as error:  # noqa: BLE001  (told at its place, behind the answers before it)
            places.append(error)
    requests.sort(key=lambda one: one[1].place.sizes)
    return places, requests


def _enqueued(
    enqueue: Callable[[Request], Future[Answer]], request: Request, places: threading.Semaphore
) -> Future[Answer]:
    places.acquire()
    try:
        future = enqueue(request)
    except BaseException:
        places.release()
        raise
    future.add_done_callback(lambda _: places.release())
    return future


def _answers(
    futures: list[Future[Answer] | Exception], numbers: Iterator[int], told: Progress | None
) -> Iterator[dict[str, NDArray[Any]]]:
    futures.reverse()
    while futures:
        number = next(numbers)
        future = futures[-1]
        try:
            outputs = _outputs(future)
        except Exception as error:
            error.add_note(f"item {number} of map(), counted from 0")
            raise
        futures.pop()  # what was given out is not held
        del future
        if told is not None:
            told.add()
        yield outputs


def _outputs(future: Future[Answer] | Exception) -> dict[str, NDArray[Any]]:
    if isinstance(future, Exception):
        raise future
    return future.result().outputs
