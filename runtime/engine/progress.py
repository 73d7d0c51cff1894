"""Progress of long work on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TextIO

_WIDTH = 30
#: Seconds between two drawings of a bar, and between two lines.
_BAR_S, _LINE_S = 0.1, 10.0


class Progress:
    """Tells how many items are done. Nothing is written sooner than there is something to tell."""

    def __init__(self, total: int, stream: TextIO | None = None) -> None:
        """Begin.

        Args:
            total: how many items there are; 0 where that is not known.
            stream: where to write; stderr by default.
        """
        self._total = total
        self._stream = sys.stderr if stream is None else stream
        self._bar = self._stream.isatty()
        self._began = self._told = time.monotonic()
        self._done = 0

    def add(self, count: int = 1) -> None:
        """So many more are done."""
        self._done += count
        now = time.monotonic()
        if now - self._told >= (_BAR_S if self._bar else _LINE_S):
            self._told = now
            self._write(now)

    def close(self) -> None:
        """Say how it ended."""
        self._write(time.monotonic())
        if self._bar:
            self._stream.write("\n")
            self._stream.flush()

    def _write(self, now: float) -> None:
        rate = self._done / max(now - self._began, 1e-9)
        of = f"{self._done} of {self._total}" if self._total else str(self._done)
        text = f"{of} items, {rate:.0f}/s"
        if not self._bar:
            self._stream.write(f"{text}\n")
        else:
            full = min(_WIDTH, _WIDTH * self._done // self._total) if self._total else 0
            bar = f"[{'#' * full}{'-' * (_WIDTH - full)}] " if self._total else ""
            self._stream.write(f"\r{bar}{text}\x1b[K")
        self._stream.flush()
