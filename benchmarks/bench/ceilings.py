"""What this machine can do at most, measured: products of matrices, and bytes read from each cache and from memory.

Products run through ONNX Runtime itself, so that a row's fraction tells what is lost between its own best kernel and
the model. Bandwidth is the best of two ways: a copy by NumPy, which counts what it reads and writes (as McCalpin's
STREAM does), and a product of one row with a matrix, which reads the matrix as a recurrence does in every step.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...runtime.ort import LOG_FATAL, import_ort
from .machine import caches_kib

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

#: Rows, and features in and out, of the product: large enough that no cache limits it, and done in a millisecond or
#: so, before the system gives the core to somebody else.
_SIZE = 512
#: Time for one figure, of which the best run counts: a ceiling is what the machine can do, not what it usually does.
_SECONDS = 0.25
#: Sizes where the machine does not tell those of its caches, in KiB.
_USUAL_KIB = {"L1": 32, "L2": 1024, "L3": 16384}
_MEMORY_BYTES = 128 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """A level of the memory.

    Attributes:
        name: ``L2 cache``, ``L3 cache`` or ``memory``.
        up_to_bytes: largest working set that it holds; 0 for the memory, which holds all.
        gb_per_s: bytes that reach the cores from it, in 10^9 a second.
    """

    name: str
    up_to_bytes: int
    gb_per_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Ceilings:
    """What a number of threads can do at most on this machine's CPU.

    Attributes:
        threads: how many threads.
        float_gops: products of float32, 10^9 operations a second.
        int8_gops: products of uint8 by int8, 10^9 operations a second.
        levels: from the fastest to the memory. What fits in the first-level cache is taken to cost nothing.
        first_bytes: size of that first-level cache.
    """

    threads: int
    float_gops: float
    int8_gops: float
    levels: tuple[Level, ...]
    first_bytes: int

    def level(self, working_set_bytes: int) -> Level | None:
        """Where weights of this size come from when they are read again and again; None from the first level."""
        if working_set_bytes <= self.first_bytes:
            return None
        return next((one for one in self.levels if working_set_bytes <= one.up_to_bytes), self.levels[-1])

    def at_least(self, fewer: Ceilings) -> Ceilings:
        """These, but never below those of fewer threads: what one thread can do, two can too.

        On a busy machine a second thread may have been measured waiting.
        """
        return replace(
            self,
            float_gops=max(self.float_gops, fewer.float_gops),
            int8_gops=max(self.int8_gops, fewer.int8_gops),
            levels=tuple(
                replace(
                    own, gb_per_s=max([own.gb_per_s, *(one.gb_per_s for one in fewer.levels if one.name == own.name)])
                )
                for own in self.levels
            ),
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict."""
        return asdict(self) | {"levels": [asdict(one) for one in self.levels]}


def measure_ceilings(threads: int, *, seconds: float = _SECONDS) -> Ceilings:
    """Measure this machine with a number of threads; some seconds.

    Args:
        threads: threads within one operator, and copies at once.
        seconds: time for each figure.
    """
    sizes = _USUAL_KIB | caches_kib()
    # One thread has one L2; a second brings its own. The last cache is shared.
    holds = {"L2": sizes["L2"] * 1024 * threads, "L3": sizes["L3"] * 1024}
    levels = [
        Level(name=f"{name} cache", up_to_bytes=size, gb_per_s=_bandwidth(size // 2, threads, seconds))
        for name, size in holds.items()
        if name != "L3" or size > holds["L2"]
    ]
    beyond = max(_MEMORY_BYTES, 4 * holds["L3"])
    levels.append(Level(name="memory", up_to_bytes=0, gb_per_s=_bandwidth(beyond, threads, seconds)))
    return Ceilings(
        threads=threads,
        float_gops=_gops(threads, seconds, int8=False),
        int8_gops=_gops(threads, seconds, int8=True),
        levels=tuple(levels),
        first_bytes=sizes["L1"] * 1024 * threads,
    )


def _gops(threads: int, seconds: float, *, int8: bool) -> float:
    run = _product(_SIZE, _SIZE, _SIZE, threads, int8=int8)
    return 2 * _SIZE**3 / _best_ns(run, seconds)


def _bandwidth(working_set: int, threads: int, seconds: float) -> float:
    """Bytes a nanosecond, which is GB/s."""
    return max(_copied(working_set, threads, seconds), _read(working_set, threads, seconds))


def _copied(working_set: int, threads: int, seconds: float) -> float:
    # Half of it is read and the other half written.
    each = max(working_set // 2 // threads // 4, 1)
    pairs = [(np.ones(each, np.float32), np.empty(each, np.float32)) for _ in range(threads)]
    if threads == 1:
        source, target = pairs[0]
        best = _best_ns(lambda: np.copyto(target, source), seconds)
        return 8 * each / best
    # Handing work to a thread costs microseconds, so each copies many times on its own.
    with ThreadPoolExecutor(threads) as pool:
        times = list(pool.map(lambda pair: _best_ns(lambda: np.copyto(pair[1], pair[0]), seconds), pairs))
    return sum(8 * each / one for one in times)


def _read(working_set: int, threads: int, seconds: float) -> float:
    inner = min(1024, max(64, int((working_set / 4) ** 0.5)))
    outer = max(working_set // 4 // inner, 1)
    return 4 * inner * outer / _best_ns(_product(1, inner, outer, threads, int8=False), seconds)


def _product(rows: int, inner: int, outer: int, threads: int, *, int8: bool) -> Callable[[], object]:
    from ...exporters.probes import product_probe  # noqa: PLC0415  (it needs onnx, and only a roofline needs it)

    ort = import_ort()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = LOG_FATAL
    session = ort.InferenceSession(
        product_probe(inner, outer, int8=int8),
        options,
        providers=["CPUExecutionProvider"],
        provider_options=[{}],
        enable_fallback=0,
    )
    x: NDArray[Any] = np.ones((rows, inner), np.uint8 if int8 else np.float32)
    return lambda: session.run(["y"], {"x": x})


def _best_ns(call: Callable[[], object], seconds: float) -> int:
    clock = time.perf_counter_ns
    call()
    end = clock() + seconds * 1e9
    best = 1 << 62
    while True:
        began = clock()
        call()
        now = clock()
        best = min(best, now - began)
        if now >= end:
            return max(best, 1)
