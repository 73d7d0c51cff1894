"""``rnnx serve``: bundles behind HTTP, gRPC and WebSocket."""

from __future__ import annotations

from pathlib import Path

import click

from .params import ENGINE_CACHE, PROVIDER_HELP, RANGE, STRICT


@click.command("serve")
@click.argument("bundles", nargs=-1, metavar="[NAME=]BUNDLE...")
@click.option(
    "--repository", type=click.Path(path_type=Path), help="A folder of bundles that clients may load by name."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--http-port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 for a free one.")
@click.option("--grpc-port", type=click.IntRange(0, 65535), default=8001, show_default=True, help="0 for a free one.")
@click.option("--no-http", is_flag=True, help="Serve no HTTP and no WebSocket.")
@click.option("--no-grpc", is_flag=True, help="Serve no gRPC.")
@click.option("--ports-file", type=click.Path(path_type=Path), help="Where to write the ports as JSON.")
@click.option("--token-file", type=click.Path(path_type=Path), help="File of the bearer token that clients must have.")
@click.option("--open-metrics", is_flag=True, help="Ask for no token at /metrics.")
@click.option("--token-key-file", type=click.Path(path_type=Path), help="File of the key of streams' tokens.")
@click.option("--tls-cert", type=click.Path(path_type=Path), help="Certificate chain, PEM.")
@click.option("--tls-key", type=click.Path(path_type=Path), help="Its key, PEM.")
@click.option("--provider", default="auto", show_default=True, help=PROVIDER_HELP)
@click.option("--precision", default="auto", show_default=True, help="auto, fp32, int8 or fp16.")
@click.option(
    "--tuned",
    is_flag=False,
    flag_value="",
    metavar="[p99 1x1]",
    help="Run as 'rnnx tune' found best on this machine; name the entry where there are several.",
)
@RANGE
@ENGINE_CACHE
@STRICT
@click.option(
    "--threads", type=click.IntRange(min=0), default=1, show_default=True, help="In one operator; 0: one for each core."
)
@click.option("--max-batch", type=click.IntRange(min=1), default=64, show_default=True, help="Rows of one run.")
@click.option(
    "--max-frames", type=click.IntRange(min=1), default=1 << 18, show_default=True, help="Frames of a request."
)
@click.option("--max-queue", type=click.IntRange(min=1), default=256, show_default=True, help="Requests that may wait.")
@click.option("--max-delay-ms", type=click.FloatRange(min=0), default=0.0, show_default=True, help="Wait for others.")
@click.option("--padding", type=click.FloatRange(min=1), default=2.0, show_default=True, help="Times its own size.")
@click.option("--max-streams", type=click.IntRange(min=1), default=10_000, show_default=True, help="Of each model.")
@click.option(
    "--stream-idle", type=click.FloatRange(min=0, min_open=True), default=60.0, show_default=True, help="Seconds."
)
@click.option(
    "--request-timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    help="Seconds that a request may take.",
)
@click.option(
    "--max-body", type=click.IntRange(min=1), default=64, show_default=True, help="Largest body of a request, MiB."
)
@click.option("--grace", type=click.FloatRange(min=0), default=30.0, show_default=True, help="Seconds to end in.")
@click.option(
    "--not-ready-delay",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Seconds between being not ready and closing.",
)
@click.option("--reload", is_flag=True, help="Load bundles again when they change.")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
@click.option("--otel", is_flag=True, help="Send OpenTelemetry spans to OTEL_EXPORTER_OTLP_ENDPOINT.")
def command(  # noqa: PLR0917  (click passes them by name)
    bundles: tuple[str, ...],
    repository: Path | None,
    host: str,
    http_port: int,
    grpc_port: int,
    ports_file: Path | None,
    token_file: Path | None,
    token_key_file: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    provider: str,
    precision: str,
    tuned: str | None,
    ranges: tuple[str, ...],
    engine_cache: str | None,
    threads: int,
    max_batch: int,
    max_frames: int,
    max_queue: int,
    max_delay_ms: float,
    padding: float,
    max_streams: int,
    stream_idle: float,
    request_timeout: float,
    max_body: int,
    grace: float,
    not_ready_delay: float,
    log_format: str,
    log_level: str,
    *,
    strict: bool,
    no_http: bool,
    no_grpc: bool,
    open_metrics: bool,
    reload: bool,
    otel: bool,
) -> None:
    """Serve each BUNDLE as a model of the Open Inference Protocol v2: asr.rnnx is served as asr.

    A bundle with a streaming variant also takes sequences, WebSocket streams, and chunks with their states as
    NAME.streaming. A bundle that fails its hashes or golden vectors is never ready. Ends on SIGTERM with exit code 0,
    when everything that was accepted is answered.
    """
    from ..runtime.serving.model import ModelOptions
    from ..runtime.serving.protocol.limits import Limits
    from ..runtime.serving.server import ServerOptions
    from ..runtime.serving.starting import Start, serve
    from ..runtime.sizes import parse_ranges

    start = Start(
        bundles=bundles,
        repository=repository,
        models=ModelOptions(
            provider=provider,
            precision=precision,
            tuned=False if tuned is None else tuned or True,
            ranges=parse_ranges(ranges) if ranges else None,
            engine_cache=engine_cache,
            strict=strict,
            threads=threads or None,
            max_batch=max_batch,
            max_frames=max_frames,
            max_queue=max_queue,
            max_delay_ms=max_delay_ms,
            padding=padding,
            max_streams=max_streams,
            stream_idle_s=stream_idle,
        ),
        limits=Limits(request_s=request_timeout, body_bytes=max_body << 20),
        server=ServerOptions(
            host=host,
            http_port=None if no_http else http_port,
            grpc_port=None if no_grpc else grpc_port,
            open_metrics=open_metrics,
            tls_cert=tls_cert,
            tls_key=tls_key,
            grace_s=grace,
            not_ready_delay_s=not_ready_delay,
            reload_s=1.0 if reload else None,
            ports_file=ports_file,
        ),
        token_file=token_file,
        token_key_file=token_key_file,
        log_format=log_format,
        log_level=log_level,
        otel=otel,
    )
    code = serve(start, click.echo)
    if code:
        raise SystemExit(code)
