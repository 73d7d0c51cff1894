"""Spans, where OpenTelemetry is installed; and the message where it is not."""

from __future__ import annotations

import importlib.util

import pytest

from rnnx.errors import InputError, MissingExtraError
from rnnx.runtime.serving.tracing import HEADERS, Tracing, open_tracing

INSTALLED = importlib.util.find_spec("opentelemetry") is not None


def test_without_a_tracer_there_are_no_spans():
    with Tracing().request("asr", {}) as span:
        assert span is None
    assert not Tracing().on


@pytest.mark.skipif(INSTALLED, reason="OpenTelemetry is installed")
def test_the_missing_extra_is_named():
    with pytest.raises(MissingExtraError, match=r"pip install 'rnnx\[otel\]'"):
        open_tracing()


@pytest.mark.skipif(not INSTALLED, reason="OpenTelemetry is not installed")
def test_each_request_is_a_span_of_its_callers_trace(kit, leaky_path):
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from opentelemetry.trace import SpanKind, StatusCode

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing = Tracing(provider.get_tracer("test"), provider)
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"

    async def main():
        async with kit.serving(leaky_path, service_options={"tracing": tracing}) as service:
            HEADERS.set({"traceparent": f"00-{trace}-{parent}-01"})
            await service.infer(kit.request(kit.frames(1)))
            HEADERS.set(None)
            with pytest.raises(InputError):
                await service.infer(kit.request(inputs={}))

    kit.run(main())
    good, bad = exporter.get_finished_spans()
    assert good.name == "infer leaky"
    assert good.kind is SpanKind.SERVER
    assert f"{good.context.trace_id:032x}" == trace
    assert f"{good.parent.span_id:016x}" == parent
    assert good.attributes["rnnx.batch"] == 1
    assert bad.status.status_code is StatusCode.ERROR
    assert bad.parent is None
    tracing.close()


@pytest.mark.skipif(not INSTALLED, reason="OpenTelemetry is not installed")
def test_the_environment_names_the_service(monkeypatch):
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    for variable, expected in ((None, "rnnx"), ("asr-east", "asr-east")):
        monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
        if variable is not None:
            monkeypatch.setenv("OTEL_SERVICE_NAME", variable)
        tracing = open_tracing()
        assert tracing._provider.resource.attributes["service.name"] == expected
        tracing.close()
