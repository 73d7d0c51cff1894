"""Minutes of everything that clients do to a server, right and wrong, with every answer compared.

Streams over gRPC and WebSocket are cut into chunks at random places; they finish, idle out, are killed within a chunk,
or go on elsewhere by token. Beside them come whole sequences of ragged lengths, wrong requests and clients that go away
within a request. The server's memory is sampled each second. At the end no stream may be left, and the server must end
with 0 on SIGTERM. Run it with ``python -m rnnx.benchmarks.serve.soak --seconds 300``; it exits with 1 where something
was wrong.
"""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from ..bench.machine import describe
from .by_grpc import visit_by_grpc
from .by_http import visit_by_http
from .by_socket import visit_by_socket
from .material import export_lstm
from .server import Memory, ServerProcess
from .truth import find_truth
from .visit import Visit

#: How much memory may grow after the warm-up, MiB per minute, in a run of at least so many seconds: a shorter one has
#: too few samples to tell.
MOST_GROWTH, JUDGED_S = 1.0, 240.0
#: Share of the time that is warm-up: pools, caches and the allocator's arenas fill.
_WARM_UP = 0.4
_IDLE_S = 1.0
#: By when a stream whose client is gone has idled out: the server looks every second.
_FAREWELL_S = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What came of a soak.

    Attributes:
        seconds: how long it took.
        counts: how often what happened.
        failures: what should not have happened, in words; the first ones.
        streams_left: streams that the server still held when all clients were gone and had idled out.
        exit_code: of the server.
        tracebacks: faults of its own that the server logged.
        rss_begin_mib: memory before the first client.
        rss_warm_mib: at the end of the warm-up.
        rss_end_mib: at the end.
        rss_max_mib: at most.
        growth_mib_per_min: slope of the memory after the warm-up, by least squares.
        rss_mib: the memory over time: seconds and MiB, up to 60 of the samples.
        passed: whether all of it is as it must be.
    """

    seconds: float
    counts: dict[str, int]
    failures: list[str]
    streams_left: int
    exit_code: int
    tracebacks: int
    rss_begin_mib: float
    rss_warm_mib: float
    rss_end_mib: float
    rss_max_mib: float
    growth_mib_per_min: float
    rss_mib: list[tuple[float, float]]
    passed: bool


def soak(bundle: Path, folder: Path, *, seconds: float, clients: int, seed: int = 0) -> Report:
    """Run a server and its clients.

    Args:
        bundle: what is served; it answers each frame of a stream with one frame.
        folder: where the server writes.
        seconds: how long clients begin something new.
        clients: of each kind.
        seed: of everything that is drawn.

    Raises:
        click.ClickException: the server does not start or end.
    """
    truth = find_truth(bundle, seed=seed)
    with ServerProcess(bundle, folder, "--stream-idle", str(_IDLE_S)) as server:
        with Memory(server, every_s=1.0) as memory:
            begun = time.monotonic()
            visit = Visit(truth=truth, http=server.http, grpc=server.grpc, idle_s=_IDLE_S, until=begun + seconds)
            asyncio.run(_visit(visit, clients, seed))
            taken = time.monotonic() - begun
            growth = memory.slope(seconds * _WARM_UP)
        left = _streams_left(server)
        code = server.stop()
        tracebacks = server.log_text().count("Traceback")
    warm = next(mib for at, mib in memory.samples if at >= min(seconds * _WARM_UP, memory.samples[-1][0]))
    judged = seconds < JUDGED_S or growth <= MOST_GROWTH
    return Report(
        seconds=taken,
        counts=dict(sorted(visit.counts.items())),
        failures=visit.failures,
        streams_left=left,
        exit_code=code,
        tracebacks=tracebacks,
        rss_begin_mib=memory.samples[0][1],
        rss_warm_mib=warm,
        rss_end_mib=memory.samples[-1][1],
        rss_max_mib=memory.most_mib,
        growth_mib_per_min=growth,
        rss_mib=memory.samples[:: max(1, len(memory.samples) // 60)],
        passed=not visit.failures and not left and not code and not tracebacks and judged,
    )


async def _visit(visit: Visit, clients: int, seed: int) -> None:
    kinds = (visit_by_socket, visit_by_grpc, visit_by_http)
    await asyncio.gather(
        *(kind(visit, random.Random(f"{seed}-{kind.__name__}-{one}")) for kind in kinds for one in range(clients))  # noqa: S311
    )


def _streams_left(server: ServerProcess) -> int:
    until = time.monotonic() + _FAREWELL_S
    while (left := round(server.metric("rnnx_streams"))) and time.monotonic() < until:
        time.sleep(0.2)
    return left


@click.command()
@click.option("--bundle", type=click.Path(path_type=Path, exists=True), help="Instead of a 2 x 256 LSTM made here.")
@click.option("--seconds", default=300.0, show_default=True, type=click.FloatRange(min=1.0))
@click.option("--clients", default=8, show_default=True, type=click.IntRange(min=1), help="Of each of three kinds.")
@click.option("--seed", default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def main(bundle: Path | None, seconds: float, clients: int, seed: int, *, as_json: bool) -> None:
    """Streams, requests and mistakes for minutes; memory, streams and every answer are checked."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if bundle is None:
            bundle = folder / "lstm.rnnx"
            export_lstm(bundle)
        report = soak(bundle, folder, seconds=seconds, clients=clients, seed=seed)
    if as_json:
        click.echo(json.dumps({"machine": describe(), **asdict(report)}, indent=1))
    else:
        for what, count in report.counts.items():
            click.echo(f"{what:28}{count:10}")
        for failure in report.failures:
            click.echo(failure)
        click.echo(
            f"memory {report.rss_begin_mib:.1f} MiB at the beginning, {report.rss_warm_mib:.1f} warm, "
            f"{report.rss_max_mib:.1f} at most, {report.rss_end_mib:.1f} at the end; "
            f"growth {report.growth_mib_per_min:+.2f} MiB/min"
        )
        verdict = "passed" if report.passed else "FAILED"
        left = f"{report.streams_left} streams left, {report.tracebacks} tracebacks"
        click.echo(f"{left}, exit code {report.exit_code}: {verdict}")
    if not report.passed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
