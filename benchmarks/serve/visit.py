"""What every client of the soak shares: the truth, how long to go on, and what has happened so far."""

from __future__ import annotations

import collections
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from .truth import STREAM_FRAMES, Truth, agrees

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from numpy.typing import NDArray

_MOST_TOLD = 20


@dataclass(kw_only=True, slots=True)
class Visit:
    """State of one soak, used in one event loop.

    Attributes:
        truth: what is asked, and the right answers.
        http: port of HTTP.
        grpc: port of gRPC.
        idle_s: after how many seconds the server ends a stream that idles.
        until: when the clients stop, on :func:`time.monotonic`.
        counts: how often what happened.
        failures: what should not have happened, in words; the first ones.
    """

    truth: Truth
    http: int
    grpc: int
    idle_s: float
    until: float
    counts: collections.Counter[str] = field(default_factory=collections.Counter)
    failures: list[str] = field(default_factory=list)

    def goes_on(self) -> bool:
        """Whether there is time for another stream or request."""
        return time.monotonic() < self.until

    def fail(self, what: str) -> None:
        """Note what should not have happened."""
        self.counts["failures"] += 1
        if len(self.failures) < _MOST_TOLD:
            self.failures.append(what)

    def check(self, who: str, values: NDArray[np.float32], right: NDArray[np.float32]) -> None:
        """Compare an answer."""
        self.counts["answers compared"] += 1
        if not agrees(values, right):
            self.fail(f"{who}: a wrong answer, {list(values.shape)} where {list(right.shape)} is right.")

    def check_part(self, who: str, raw: bytes, stream: int, span: slice) -> None:
        """Compare the answer to a chunk."""
        right = self.truth.answers[stream][:, span]
        values = np.frombuffer(raw, np.float32)
        self.check(who, values.reshape(right.shape) if values.size == right.size else values, right)


def cuts(draw: random.Random) -> Iterator[slice]:
    """A stream cut into chunks at random places."""
    at = 0
    while at < STREAM_FRAMES:
        size = min(draw.randint(1, 12), STREAM_FRAMES - at)
        yield slice(at, at + size)
        at += size
