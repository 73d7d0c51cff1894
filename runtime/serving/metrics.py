"""What is counted of each model, and how Prometheus and the v2 statistics tell it.

Counting happens on the way of every request, so it is plain additions; the families of Prometheus are made when they
are scraped. Labels are names of models that are served, never what a client wrote.

Names ``nv_*`` and their meaning are Triton's (https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/
docs/user_guide/metrics.html), the statistics are its extension ``statistics`` of the Open Inference Protocol v2.
"""

from __future__ import annotations

import re
import threading
import time
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...errors import DeadlineError, MissingExtraError, QueueFullError, SessionError, TooManyStreamsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ..engine.engine import BatchReport

#: Upper bounds of the latency histogram, seconds: from a small step to the longest deadlines.
LATENCY_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
#: Upper bounds of the histogram of rows in a run.
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
#: Runs of more rows are told under the next power of two in the statistics, so that they cannot grow without end.
_EXACT_ROWS = 256
_VERSION = "1"
_COUNTER = re.compile(rb"^(# (?:HELP|TYPE) nv_\w+)_total ", re.MULTILINE)


class Histogram:
    """Counts by upper bound, and a sum. Written by one thread at a time."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        """Begin with nothing; ``bounds`` ascend."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts, as Prometheus has them: ``[("0.001", 3), ..., ("+Inf", 9)]``."""
        total, found = 0, []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            total += count
            found.append((bound, float(total)))
        return found


@dataclass(slots=True)
class Tally:
    """How often, and how long in all."""

    count: int = 0
    ns: int = 0

    def add(self, ns: int, count: int = 1) -> None:
        """Count once more, or ``count`` times with ``ns`` nanoseconds in all."""
        self.count += count
        self.ns += ns

    def to_json(self) -> dict[str, int]:
        """As the v2 statistics tell it."""
        return {"count": self.count, "ns": self.ns}


@dataclass(slots=True)
class Counts:
    """What happened to one model's requests. It outlives a reload, as the model's name does.

    Requests are counted by the event loop's thread only; runs by the engines' threads, under the lock.
    """

    success: Tally = field(default_factory=Tally)
    fail: Tally = field(default_factory=Tally)
    #: By Triton's words: REJECTED, CANCELED, BACKEND, OTHER.
    reasons: dict[str, int] = field(default_factory=dict)
    pending: int = 0
    refusals: int = 0
    deadline_misses: int = 0
    reload_failures: int = 0
    last_ms: int = 0
    latency: Histogram = field(default_factory=lambda: Histogram(LATENCY_S))
    inferences: int = 0
    executions: int = 0
    queue: Tally = field(default_factory=Tally)
    infer: Tally = field(default_factory=Tally)
    rows: Histogram = field(default_factory=lambda: Histogram(ROWS))
    batches: dict[int, Tally] = field(default_factory=dict)
    padded_frames: int = 0
    used_frames: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answered(self, ns: int) -> None:
        """A request was answered after so many nanoseconds."""
        self.success.add(ns)
        self.latency.observe(ns / 1e9)
        self.last_ms = time.time_ns() // 1_000_000

    def failed(self, ns: int, error: BaseException) -> None:
        """A request failed after so many nanoseconds."""
        self.fail.add(ns)
        if isinstance(error, QueueFullError | TooManyStreamsError):
            reason = "REJECTED"
            self.refusals += isinstance(error, QueueFullError)
        elif isinstance(error, DeadlineError):
            reason = "OTHER"
            self.deadline_misses += 1
        elif isinstance(error, SessionError):
            reason = "BACKEND"
        else:
            # Triton's word for a client that went away; everything that is the client's own fault is OTHER.
            reason = "OTHER" if isinstance(error, Exception) else "CANCELED"
        self.reasons[reason] = self.reasons.get(reason, 0) + 1

    def ran(self, report: BatchReport) -> None:
        """An engine ran a batch; called in its thread."""
        rows = report.rows if report.rows <= _EXACT_ROWS else 1 << (report.rows - 1).bit_length()
        with self.lock:
            self.inferences += report.rows
            self.executions += 1
            self.queue.add(sum(report.queue_ns), report.requests)
            # As Triton does: each request of a batch took the whole run's time.
            self.infer.add(report.run_ns * report.requests, report.requests)
            self.rows.observe(report.rows)
            self.batches.setdefault(rows, Tally()).add(report.run_ns)
            self.padded_frames += report.padded
            self.used_frames += report.used

    def statistics(self, name: str) -> dict[str, Any]:
        """This model's part of the v2 statistics."""
        nothing = Tally().to_json()
        with self.lock:
            return {
                "name": name,
                "version": _VERSION,
                "last_inference": self.last_ms,
                "inference_count": self.inferences,
                "execution_count": self.executions,
                "inference_stats": {
                    "success": self.success.to_json(),
                    "fail": self.fail.to_json(),
                    "queue": self.queue.to_json(),
                    # Reading and writing of tensors happen in the transport and are no steps of the model here.
                    "compute_input": nothing,
                    "compute_infer": self.infer.to_json(),
                    "compute_output": nothing,
                    "cache_hit": nothing,
                    "cache_miss": nothing,
                },
                "batch_stats": [
                    {
                        "batch_size": rows,
                        "compute_input": nothing,
                        "compute_infer": tally.to_json(),
                        "compute_output": nothing,
                    }
                    for rows, tally in sorted(self.batches.items())
                ],
            }


class Metrics:
    """Counts by model, and their exposition."""

    def __init__(self) -> None:
        """Begin with no models."""
        self._counts: dict[str, Counts] = {}
        #: How many streams and bytes of state each model holds now; the repository says it.
        self.streams: Callable[[], Mapping[str, tuple[int, int]]] = dict
        self._registry: Any = None

    def of(self, model: str) -> Counts:
        """The counts of a model that is served; never ask with a client's text."""
        found = self._counts.get(model)
        if found is None:
            found = self._counts.setdefault(model, Counts())
        return found

    def statistics(self, models: list[str]) -> dict[str, Any]:
        """The v2 statistics of these models."""
        return {"model_stats": [self.of(name).statistics(name) for name in models]}

    def exposition(self) -> tuple[bytes, str]:
        """Everything in Prometheus' text format, and that format's content type.

        Raises:
            MissingExtraError: prometheus-client is not installed.
        """
        try:
            from prometheus_client import CollectorRegistry  # noqa: PLC0415  (an extra)
            from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest  # noqa: PLC0415
        except ImportError as error:
            raise MissingExtraError(
                f"metrics need prometheus-client, which is not installed ({error}). Run: pip install 'rnnx[serve]'."
            ) from error
        if self._registry is None:
            self._registry = CollectorRegistry(auto_describe=False)
            self._registry.register(self)
        # prometheus_client names every counter *_total; Triton's have no such ending.
        return _COUNTER.sub(rb"\1 ", generate_latest(self._registry)), CONTENT_TYPE_PLAIN_0_0_4

    def collect(self) -> Iterator[Any]:
        """The families, for prometheus_client."""
        from prometheus_client.core import Metric  # noqa: PLC0415  (an extra)

        counts = dict(self._counts)
        for name, text, kind, value in _SIMPLE:
            family = Metric(name, text, kind)
            ending = "_total" if kind == "counter" and not name.startswith("nv_") else ""
            for model, one in counts.items():
                family.add_sample(name + ending, _labels(model), value(one))
            yield family
        failures = Metric("nv_inference_request_failure", "Requests that failed.", "counter")
        for model, one in counts.items():
            for reason in ("REJECTED", "CANCELED", "BACKEND", "OTHER"):
                labels = {**_labels(model), "reason": reason}
                failures.add_sample(failures.name, labels, one.reasons.get(reason, 0))
        yield failures
        for name, text, histogram in _HISTOGRAMS:
            family = Metric(name, text, "histogram")
            for model, one in counts.items():
                found = histogram(one)
                buckets = found.buckets()
                for bound, count in buckets:
                    family.add_sample(f"{name}_bucket", {**_labels(model), "le": bound}, count)
                family.add_sample(f"{name}_count", _labels(model), buckets[-1][1])
                family.add_sample(f"{name}_sum", _labels(model), found.sum)
            yield family
        streams = Metric("rnnx_streams", "Streams that are held now.", "gauge")
        held = Metric("rnnx_stream_state_bytes", "Bytes of the states that are held now.", "gauge")
        for model, (number, size) in self.streams().items():
            streams.add_sample(streams.name, _labels(model), number)
            held.add_sample(held.name, _labels(model), size)
        yield from (streams, held)


def _labels(model: str) -> dict[str, str]:
    return {"model": model, "version": _VERSION}


def _waste(one: Counts) -> float:
    """Share of the frames that were run and that nobody asked for."""
    return 1 - one.used_frames / one.padded_frames if one.padded_frames else 0.0


#: Name, help, kind, and what of the counts it is.
_SIMPLE: tuple[tuple[str, str, str, Callable[[Counts], float]], ...] = (
    ("nv_inference_request_success", "Requests that were answered.", "counter", lambda one: one.success.count),
    ("nv_inference_count", "Rows that were run; a batch of n counts n.", "counter", lambda one: one.inferences),
    ("nv_inference_exec_count", "Runs of the model, of any number of rows.", "counter", lambda one: one.executions),
    (
        "nv_inference_request_duration_us",
        "Time of answered requests from arrival to answer, microseconds in all.",
        "counter",
        lambda one: one.success.ns // 1000,
    ),
    (
        "nv_inference_queue_duration_us",
        "Time that requests waited for their run, microseconds in all.",
        "counter",
        lambda one: one.queue.ns // 1000,
    ),
    (
        "nv_inference_compute_infer_duration_us",
        "Time that the runs of requests took, microseconds in all.",
        "counter",
        lambda one: one.infer.ns // 1000,
    ),
    ("nv_inference_pending_request_count", "Requests that wait or run.", "gauge", lambda one: one.pending),
    ("rnnx_queue_refusals", "Requests that were refused because the queue was full.", "counter", lambda o: o.refusals),
    ("rnnx_deadline_misses", "Requests whose time was over before an answer.", "counter", lambda o: o.deadline_misses),
    ("rnnx_reload_failures", "Bundles that were refused when loaded.", "counter", lambda one: one.reload_failures),
    (
        "rnnx_frames_padded",
        "Frames that were run with padding; rows, of models without lengths.",
        "counter",
        lambda one: one.padded_frames,
    ),
    (
        "rnnx_frames_used",
        "Frames that were run and asked for; rows, of models without lengths.",
        "counter",
        lambda one: one.used_frames,
    ),
    ("rnnx_padding_waste_ratio", "Share of the frames that were run and were padding.", "gauge", _waste),
)
_HISTOGRAMS: tuple[tuple[str, str, Callable[[Counts], Histogram]], ...] = (
    ("rnnx_request_latency_seconds", "Time of answered requests from arrival to answer.", lambda one: one.latency),
    ("rnnx_batch_rows", "Rows in a run.", lambda one: one.rows),
)
