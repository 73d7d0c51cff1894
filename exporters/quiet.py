"""Keeping other libraries' notes to their developers away from our users."""

from __future__ import annotations

import logging
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
