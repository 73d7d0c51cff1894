"""How long one example takes by each runner: in turns, one thread, medians."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .system import Arrays, Runner

#: After a run the thread pools of ONNX Runtime and torch spin for up to 15 ms, and would slow the next runner down.
_PAUSE_S = 0.02


def latencies_ms(runners: Sequence[Runner], feed: Arrays, *, rounds: int = 25) -> list[float]:
    """The median time of one run of each runner, in milliseconds; the runners take turns.

    Args:
        runners: each is run twice before it is timed.
        feed: what they are given.
        rounds: timed runs of each.
    """
    times: list[list[float]] = [[] for _ in runners]
    for turn in range(rounds + 2):
        for runner, taken in zip(runners, times, strict=True):
            time.sleep(_PAUSE_S)
            begun = time.perf_counter()
            runner.run(feed)
            if turn >= 2:
                taken.append(1e3 * (time.perf_counter() - begun))
    return [statistics.median(taken) for taken in times]
