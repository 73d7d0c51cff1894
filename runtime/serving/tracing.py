"""OpenTelemetry spans around requests, where the extra ``otel`` is installed and asked for; else nothing.

A span is named ``infer MODEL`` and carries what OpenTelemetry calls the server's side of a call. The caller's trace
goes on where its headers (``traceparent``, https://www.w3.org/TR/trace-context/) came along.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
from typing import TYPE_CHECKING, Any, Protocol

from ... import __version__
from ...errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Headers of the request in whose task this runs, names in lower case; transports set it where tracing is on.
HEADERS: contextvars.ContextVar[Mapping[str, str] | None] = contextvars.ContextVar("rnnx_trace_headers", default=None)


class Span(Protocol):
    """What the service says of a request while it is traced."""

    def set_attribute(self, key: str, value: Any) -> object:  # noqa: ANN401  (OpenTelemetry's signature)
        """Say something of it."""


class Tracing:
    """Makes spans with a tracer of OpenTelemetry; without one it makes none. A context manager's maker."""

    def __init__(self, tracer: Any = None, provider: Any = None) -> None:  # noqa: ANN401  (an optional package's)
        """Use a tracer, and shut its provider down at the end; None for no tracing."""
        self._tracer = tracer
        self._provider = provider

    @property
    def on(self) -> bool:
        """Whether spans are made, so that transports need to hand over headers."""
        return self._tracer is not None

    @contextlib.contextmanager
    def request(self, model: str, attributes: Mapping[str, Any]) -> Iterator[Span | None]:
        """A span around one request; an error that passes through is recorded in it.

        Args:
            model: name of a model that is served (a client's text must not name spans).
            attributes: what is known of it beforehand.
        """
        if self._tracer is None:
            yield None
            return
        from opentelemetry.propagate import extract  # noqa: PLC0415  (an extra)
        from opentelemetry.trace import SpanKind  # noqa: PLC0415

        given = HEADERS.get()
        with self._tracer.start_as_current_span(
            f"infer {model}",
            context=extract(given) if given else None,
            kind=SpanKind.SERVER,
            attributes={"rnnx.model": model, **attributes},
        ) as span:
            yield span

    def close(self) -> None:
        """Send what waits and stop."""
        if self._provider is not None:
            self._provider.shutdown()


def open_tracing() -> Tracing:
    """Spans to where OpenTelemetry's own variables say (``OTEL_EXPORTER_OTLP_ENDPOINT`` and so on), by OTLP and HTTP.

    Raises:
        MissingExtraError: OpenTelemetry is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415  (an extra)
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError(
            f"spans need OpenTelemetry, which is not installed ({error}). Run: pip install 'rnnx[otel]', "
            "or leave out --otel."
        ) from error
    # What is given to create() wins over the environment, so it is given only where that says nothing.
    named = "OTEL_SERVICE_NAME" in os.environ or "service.name" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    provider = TracerProvider(resource=Resource.create({} if named else {"service.name": "rnnx"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider.get_tracer("rnnx", __version__), provider)
