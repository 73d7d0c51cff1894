"""Progress of a training: a bar on a terminal, plain lines elsewhere, always on stderr."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LINES = 10


@contextmanager
def progress(count: int, *, label: str) -> Iterator[Callable[[float], None]]:
    """A function to be called with the loss after each of `count` steps."""
    if sys.stderr.isatty():
        with click.progressbar(length=count, label=label, file=sys.stderr, item_show_func=_loss) as bar:
            yield lambda loss: bar.update(1, loss)
        return
    every, done = max(1, count // _LINES), 0

    def line(loss: float) -> None:
        nonlocal done
        done += 1
        if done % every == 0 or done == count:
            click.echo(f"{label}: step {done} of {count}, {_loss(loss)}", err=True)

    yield line


def _loss(loss: float | None) -> str:
    return "" if loss is None else f"loss {loss:.3f}"
