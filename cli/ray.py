"""``rnnx ray``: bundles behind Ray Serve."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("ray")
@click.argument("bundles", nargs=-1, required=True, metavar="[NAME=]BUNDLE...")
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="FILE.yaml", help="Write a config file instead.")
@click.option("--name", default="rnnx", show_default=True, help="Of the application.")
@click.option("--replicas", type=int, help="Processes that hold the bundles, a fixed number; 1 by default.")
@click.option("--min-replicas", type=int, help="The fewest, where their number follows the load.")
@click.option("--max-replicas", type=int, help="The most, where their number follows the load.")
@click.option("--target-ongoing-requests", type=float, help="Of each replica; above it Ray starts another one.")
@click.option("--num-cpus", type=float, default=1.0, show_default=True, help="Cores that Ray counts for a replica.")
@click.option("--num-gpus", type=float, default=0.0, show_default=True, help="GPUs that Ray counts for a replica.")
@click.option("--provider", default="auto", show_default=True, help="auto, cpu, cuda or tensorrt.")
@click.option("--precision", default="auto", show_default=True, help="auto, fp32, int8 or fp16.")
@click.option("--threads", type=int, default=1, show_default=True, help="In one operator; 0: one for each core.")
@click.option("--max-batch", type=int, default=64, show_default=True, help="Rows of one run.")
@click.option("--max-queue", type=int, default=256, show_default=True, help="Requests that may wait in a replica.")
@click.option("--max-streams", type=int, default=10_000, show_default=True, help="Of each replica.")
@click.option("--stream-idle", type=float, default=60.0, show_default=True, help="Seconds.")
@click.option("--grace", type=float, default=30.0, show_default=True, help="Seconds for a replica to end in.")
@click.option("--token-file", default="", help="File of the bearer token that clients must have, on every machine.")
@click.option("--token-key-file", default="", help="File of the key of streams' tokens, on every machine.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--http-port", type=click.IntRange(1, 65535), default=8000, show_default=True)
@click.option("--object-store", type=click.IntRange(min=80), metavar="MIB", help="Memory that Ray shares, here.")
@click.option("--force", is_flag=True, help="Replace a file that stands there.")
def command(  # noqa: PLR0917  (click passes them by name)
    bundles: tuple[str, ...],
    out: Path | None,
    name: str,
    replicas: int | None,
    min_replicas: int | None,
    max_replicas: int | None,
    target_ongoing_requests: float | None,
    num_cpus: float,
    num_gpus: float,
    provider: str,
    precision: str,
    threads: int,
    max_batch: int,
    max_queue: int,
    max_streams: int,
    stream_idle: float,
    grace: float,
    token_file: str,
    token_key_file: str,
    host: str,
    http_port: int,
    object_store: int | None,
    *,
    force: bool,
) -> None:
    """Run each BUNDLE behind Ray Serve here until a signal comes, or write a config file for 'serve deploy' with -o.

    Clients speak HTTP and WebSocket as with 'rnnx serve'. Where there may be several replicas, every request of a
    sequence must bring its sequence_id in the header x-session-id, which keeps it on the replica that holds its state.
    """
    from ..runtime.deploy.ray.settings import RaySettings, write_config
    from ..runtime.serving.starting import named_bundles

    settings = RaySettings(
        bundles={one: str(path.resolve()) for one, path in named_bundles(bundles).items()},
        name=name,
        replicas=replicas,
        min_replicas=min_replicas,
        max_replicas=max_replicas,
        target_ongoing_requests=target_ongoing_requests,
        num_cpus=num_cpus,
        num_gpus=num_gpus,
        provider=provider,
        precision=precision,
        threads=threads,
        max_batch=max_batch,
        max_queue=max_queue,
        max_streams=max_streams,
        stream_idle_s=stream_idle,
        grace_s=grace,
        token_file=token_file and str(Path(token_file).resolve()),
        token_key_file=token_key_file and str(Path(token_key_file).resolve()),
    )
    if out is not None:
        write_config(settings, out, host=host, port=http_port, overwrite=force)
        click.echo(f"wrote {out}")
        return
    from ..runtime.deploy.ray.application import serve_here

    shared = None if object_store is None else object_store << 20
    serve_here(settings, host=host, port=http_port, announce=click.echo, object_store_bytes=shared)
