"""What is counted, and that Prometheus' own parser reads it."""

from __future__ import annotations

import asyncio
import re

import pytest

from rnnx.errors import DeadlineError, InputError, QueueFullError, SessionError, TooManyStreamsError
from rnnx.runtime.engine.counting import BatchReport
from rnnx.runtime.serving.metrics import Counts, Histogram, Metrics

parser = pytest.importorskip("prometheus_client.parser")


LINE = re.compile(r'(\w+)\{model="asr",(?:reason="(\w+)",)?version="1"\} (\S+)')


def samples(metrics):
    """Types by family as Prometheus' parser reads them, and values by name as they are written."""
    body, content_type = metrics.exposition()
    assert content_type.startswith("text/plain; version=0.0.4")
    text = body.decode()
    families = list(parser.text_string_to_metric_families(text))
    assert all(family.type != "unknown" for family in families)
    assert sum(len(family.samples) for family in families) == sum(
        not line.startswith("#") for line in text.split("\n")[:-1]
    )
    kinds = dict(re.findall(r"# TYPE (\w+) (\w+)", text))
    return kinds, {(name, *([reason] if reason else [])): float(value) for name, reason, value in LINE.findall(text)}


def report(**changes):
    given = {"requests": 2, "rows": 5, "queue_ns": (1000, 3000), "run_ns": 7000, "used": 80, "padded": 100}
    return BatchReport(**{**given, **changes})


def test_names_and_values_are_tritons():
    metrics = Metrics()
    counts = metrics.of("asr")
    counts.answered(2_000_000)
    counts.answered(4_000_000)
    counts.ran(report())
    counts.pending = 3
    metrics.streams = lambda: {"asr": (4, 256)}
    for error in (QueueFullError(), SessionError(), DeadlineError(), InputError(), asyncio.CancelledError()):
        counts.failed(1, error)
    kinds, found = samples(metrics)
    expected = {
        "nv_inference_request_success": 2,
        "nv_inference_count": 5,
        "nv_inference_exec_count": 1,
        "nv_inference_request_duration_us": 6000,
        "nv_inference_queue_duration_us": 4,
        "nv_inference_compute_infer_duration_us": 14,
        "nv_inference_pending_request_count": 3,
        "rnnx_queue_refusals_total": 1,
        "rnnx_deadline_misses_total": 1,
        "rnnx_frames_padded_total": 100,
        "rnnx_frames_used_total": 80,
        "rnnx_streams": 4,
        "rnnx_stream_state_bytes": 256,
        "rnnx_request_latency_seconds_count": 2,
        "rnnx_batch_rows_sum": 5,
    }
    assert {name: found[name,] for name in expected} == expected
    assert found["rnnx_padding_waste_ratio",] == pytest.approx(0.2)
    assert found["rnnx_request_latency_seconds_sum",] == pytest.approx(0.006)
    reasons = {reason: found["nv_inference_request_failure", reason] for reason in ("REJECTED", "BACKEND", "OTHER")}
    assert reasons == {"REJECTED": 1, "BACKEND": 1, "OTHER": 2}
    assert found["nv_inference_request_failure", "CANCELED"] == 1
    assert kinds["nv_inference_request_success"] == "counter"
    assert kinds["rnnx_batch_rows"] == "histogram"


def test_buckets_are_cumulative():
    histogram = Histogram((1, 2))
    for value in (0.5, 1, 2, 3, 4):
        histogram.observe(value)
    assert histogram.buckets() == [("1", 2.0), ("2", 3.0), ("+Inf", 5.0)]


def test_refused_streams_count_as_rejected():
    counts = Counts()
    counts.failed(1, TooManyStreamsError())
    assert (counts.reasons, counts.refusals) == ({"REJECTED": 1}, 0)


def test_statistics_have_the_extensions_form():
    counts = Counts()
    counts.answered(500)
    counts.failed(30, InputError())
    counts.ran(report())
    counts.ran(report(rows=1, requests=1, queue_ns=(10,), run_ns=100))
    counts.ran(report(rows=300))
    told = counts.statistics("asr")
    assert (told["name"], told["version"], told["inference_count"], told["execution_count"]) == ("asr", "1", 306, 3)
    assert told["last_inference"] > 1_600_000_000_000
    stats = told["inference_stats"]
    assert stats["success"] == {"count": 1, "ns": 500}
    assert stats["fail"] == {"count": 1, "ns": 30}
    assert stats["queue"] == {"count": 5, "ns": 8010}
    assert stats["compute_infer"] == {"count": 5, "ns": 2 * 2 * 7000 + 100}
    batches = {one["batch_size"]: one["compute_infer"] for one in told["batch_stats"]}
    # Rows past 256 are told under the next power of two.
    assert batches == {1: {"count": 1, "ns": 100}, 5: {"count": 1, "ns": 7000}, 512: {"count": 1, "ns": 7000}}


def test_names_of_models_are_escaped():
    metrics = Metrics()
    metrics.of('a"b\\c')
    assert rb'model="a\"b\\c"' in metrics.exposition()[0]


def test_what_the_service_counts(kit, leaky_path):
    async def main():
        async with kit.serving(leaky_path) as service:
            await asyncio.gather(*(service.infer(kit.request(kit.frames(2, batch=3))) for _ in range(4)))
            with pytest.raises(InputError):
                await service.infer(kit.request(kit.frames(2)[0]))
            counts = service.metrics.of("leaky")
            assert (counts.success.count, counts.fail.count, counts.inferences) == (4, 1, 12)
            assert counts.used_frames == 12  # rows, of a model without lengths
            assert counts.infer.count == 4
            (told, streams) = service.statistics("leaky")["model_stats"]
            assert told["inference_count"] == 12
            assert streams["name"] == "leaky.streaming"

    kit.run(main())
