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
def progress(count: int, *, label: str) -> Iterator[Callable[[int, int, str], None]]:
    """A function to be called after each of `count` steps with the step, the steps in all and a line of figures."""
    if sys.stderr.isatty():
        with click.progressbar(length=count, label=label, file=sys.stderr, item_show_func=lambda line: line) as bar:
            yield lambda step, _steps, line: bar.update(step - bar.pos, line)
        return
    every = max(1, count // _LINES)

    def report(step: int, steps: int, line: str) -> None:
        if step % every == 0 or step == steps:
            click.echo(f"{label}: step {step} of {steps}, {line}", err=True)

    yield report
