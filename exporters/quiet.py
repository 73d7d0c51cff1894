"""Keeping other libraries' notes to their developers away from our users."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def quiet(*loggers: str) -> Iterator[None]:
    """Within this block no Python warnings are shown, and these loggers tell errors only.

    torch, onnxscript and their kin report deprecations of their own internals and optional packages that are not
    there; none of it can be acted on by who exports a model.
    """
    found = [logging.getLogger(name) for name in loggers]
    levels = [logger.level for logger in found]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for logger in found:
                logger.setLevel(logging.ERROR)
            yield
        finally:
            for logger, level in zip(found, levels, strict=True):
                logger.setLevel(level)


@contextmanager
def silent() -> Iterator[None]:
    """Within this block nothing that C++ code of this process writes to its standard output is seen.

    onnxsim notes there that it stopped looking for more to simplify, in the middle of a report in JSON.
    """
    try:
        kept = os.dup(1)
    except OSError:  # it is closed: there is nothing to keep clean
        yield
        return
    _flush()
    try:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123  (no path of the user's)
            os.dup2(nowhere.fileno(), 1)
        yield
    finally:
        _flush()
        os.dup2(kept, 1)
        os.close(kept)


def _flush() -> None:
    """Empty the buffers of Python and C, so that each text goes to where it was written."""
    if sys.stdout is not None and not sys.stdout.closed:
        sys.stdout.flush()
    if os.name == "posix":
        ctypes.CDLL(None).fflush(None)
