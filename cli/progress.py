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
