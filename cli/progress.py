"""Progress of long work: a bar on a terminal, plain lines elsewhere, always on stderr."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def stages(count: int) -> Iterator[Callable[[str], None]]:
    """A function to be called with the name of each of ``count`` stages as it begins."""
    if not sys.stderr.isatty():
        yield lambda name: click.echo(f"{name} ...", err=True)
        return
    with click.progressbar(length=count, file=sys.stderr, item_show_func=str, show_eta=False) as bar:
        yield lambda name: bar.update(1, name)


def lines() -> Callable[[str], None]:
    """A function that prints a line for each step of work whose number of steps is not known before."""
    return lambda name: click.echo(f"{name} ...", err=True)


@contextmanager
def steps(*, parts: int = 20) -> Iterator[Callable[[int, int, str], None]]:
    """A function to be called with the step, from 1, the number of steps, and a line of figures about it.

    Args:
        parts: where there is no terminal, a line is printed each time that another of so many parts is done.
    """
    if sys.stderr.isatty():
        with click.progressbar(length=1, file=sys.stderr, item_show_func=str, show_pos=True) as bar:

            def move(step: int, count: int, line: str) -> None:
                bar.length = count
                bar.update(step - bar.pos, line)

            yield move
        return

    def tell(step: int, count: int, line: str) -> None:
        if step == count or step * parts // count > (step - 1) * parts // count:
            click.echo(f"step {step} of {count}  {line}", err=True)

    yield tell
