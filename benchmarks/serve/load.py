"""Requests per second over HTTP, latency at half of that, and what ten times as much does to the server.

One server (``rnnx serve`` of a 2 x 256 LSTM by default) and one client, each a process of its own, on loopback. The
client compares one answer of 16 with a session's own. ``benchmarks/notes/serving.md`` says what is measured and how.
Run it with ``python -m rnnx.benchmarks.serve.load``; it exits with 1 where a goal is missed.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..bench.machine import describe
from .client import ClientProcess
from .foreign import Foreign, foreign_rates
from .job import Job, Outcome
from .material import export_lstm, make_material
from .server import Memory, ServerProcess

if TYPE_CHECKING:
    from collections.abc import Callable

#: Requests per second that must be reached; p99 of p50 at half load; milliseconds of a refusal; accepted of peak.
LEAST_PER_S, MOST_SPREAD, MOST_REFUSAL_MS, LEAST_OF_PEAK = 1200.0, 5.0, 50.0, 0.8
SHAPES = ((1, 1), (1, 8))
CONNECTIONS = (1, 4, 16, 64)
#: Shapes under overload: one where HTTP is the limit, and one where the model is.
OVERLOADED = ((1, 8), (1, 100))
#: As many connections as a balancer may keep to one server: twice the places of the queue.
CROWD = 512
TIMES = 10.0
_WARM_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """Answers per second of a closed loop.

    Attributes:
        batch: rows of a request.
        time: frames of a row.
        connections: requests at a time.
        outcome: the round with the median rate.
    """

    batch: int
    time: int
    connections: int
    outcome: Outcome


@dataclass(frozen=True, kw_only=True, slots=True)
class Half:
    """Latency at half of the saturation load, by an open loop.

    Attributes:
        rate: requests that were sent in a second.
        spread: p99 of p50; the median of the rounds.
        rounds: each round.
    """

    rate: float
    spread: float
    rounds: tuple[Outcome, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Overload:
    """Ten times the saturation load, by an open loop.

    Attributes:
        batch: rows of a request.
        time: frames of a row.
        peak_per_s: the saturation load: the mean of just before and just after.
        of_peak: accepted work, as a share of it.
        outcome: what came of it.
        rss_before_mib: the server's memory before.
        rss_max_mib: at most.
        rss_after_mib: after.
        refused_by_server: refusals that the server's own metric counted meanwhile.
    """

    batch: int
    time: int
    peak_per_s: float
    of_peak: float
    outcome: Outcome
    rss_before_mib: float
    rss_max_mib: float
    rss_after_mib: float
    refused_by_server: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """All figures.

    Attributes:
        rates: by shape and connections.
        foreign: by other load generators, of the last shape.
        half: latency at half load, of the last shape.
        overloads: by shape.
        missed: goals that were not reached, in words.
    """

    rates: tuple[Rate, ...]
    foreign: tuple[Foreign, ...]
    half: Half
    overloads: tuple[Overload, ...]
    missed: tuple[str, ...]


class Bench:
    """A server and its client, and what is measured with them."""

    def __init__(self, server: ServerProcess, client: ClientProcess, bundle: Path, folder: Path) -> None:
        """Take over both."""
        self._server, self._client, self._bundle, self._folder = server, client, bundle, folder

    def rates(self, seconds: float, rounds: int) -> tuple[Rate, ...]:
        """Closed loops, every combination once in each round."""
        found: dict[tuple[int, int, int], list[Outcome]] = {}
        for shape in SHAPES:
            self._closed(*shape, CONNECTIONS[-1], _WARM_S)
        for _ in range(rounds):
            for batch, time in SHAPES:
                for connections in CONNECTIONS:
                    outcome = self._closed(batch, time, connections, seconds)
                    found.setdefault((batch, time, connections), []).append(outcome)
        return tuple(
            Rate(
                batch=key[0],
                time=key[1],
                connections=key[2],
                outcome=sorted(outcomes, key=lambda one: one.per_s)[len(outcomes) // 2],
            )
            for key, outcomes in found.items()
        )

    def foreign(self, seconds: float) -> tuple[Foreign, ...]:
        """Other load generators, with 16 connections."""
        material = make_material(self._bundle, batch=SHAPES[-1][0], time=SHAPES[-1][1], kinds=1)
        found = foreign_rates(self._server.http, material, self._folder, connections=16, seconds=seconds)
        return tuple(found)

    def half(self, rates: tuple[Rate, ...], seconds: float, rounds: int) -> Half:
        """Open loops at half of the highest rate of the last shape."""
        batch, time = SHAPES[-1]
        rate = max(one.outcome.per_s for one in rates if (one.batch, one.time) == (batch, time)) / 2
        found = [
            self._do(batch, time, CONNECTIONS[-1], seconds, rate=rate, patient=True, seed=seed)
            for seed in range(rounds)
        ]
        spreads = [one.answered.p99_ms / one.answered.p50_ms for one in found]
        return Half(rate=rate, spread=statistics.median(spreads), rounds=tuple(found))

    def overload(self, batch: int, time: int, seconds: float) -> Overload:
        """An open loop at ten times the saturation load; a request for which no connection is free is given up."""
        server = self._server
        before = self._closed(batch, time, CONNECTIONS[-1], seconds / 2)
        rss, refused = server.rss_mib(), server.metric("rnnx_queue_refusals_total")
        rate = TIMES * before.per_s
        with Memory(server, every_s=0.1) as memory:
            outcome = self._do(batch, time, CROWD, seconds, rate=rate, patient=False)
        refused = server.metric("rnnx_queue_refusals_total") - refused
        after = self._closed(batch, time, CONNECTIONS[-1], seconds / 2)
        peak = (before.per_s + after.per_s) / 2
        return Overload(
            batch=batch,
            time=time,
            peak_per_s=peak,
            of_peak=outcome.per_s / peak,
            outcome=outcome,
            rss_before_mib=rss,
            rss_max_mib=memory.most_mib,
            rss_after_mib=server.rss_mib(),
            refused_by_server=round(refused),
        )

    def _closed(self, batch: int, time: int, connections: int, seconds: float) -> Outcome:
        return self._do(batch, time, connections, seconds)

    def _do(
        self,
        batch: int,
        time: int,
        connections: int,
        seconds: float,
        *,
        rate: float = 0.0,
        patient: bool = True,
        seed: int = 0,
    ) -> Outcome:
        job = Job(
            port=self._server.http,
            bundle=str(self._bundle),
            batch=batch,
            time=time,
            seconds=seconds,
            connections=connections,
            rate=rate,
            patient=patient,
            seed=seed,
        )
        return self._client.do(job)


def measure(
    bundle: Path,
    folder: Path,
    *,
    seconds: float,
    rounds: int,
    overload_s: float,
    max_queue: int,
    say: Callable[[str], None],
) -> Report:
    """Start both processes and measure everything.

    Args:
        bundle: what is served.
        folder: where the server and the tools write.
        seconds: of one turn.
        rounds: turns of each closed loop, and of the latency.
        overload_s: seconds of an overload.
        max_queue: requests that may wait in the server.
        say: is told what goes on.

    Raises:
        click.ClickException: something does not start, or an answer was wrong.
    """
    with ServerProcess(bundle, folder, "--max-queue", str(max_queue)) as server, ClientProcess() as client:
        bench = Bench(server, client, bundle, folder)
        say("rates")
        rates = bench.rates(seconds, rounds)
        say("other load generators")
        foreign = bench.foreign(seconds)
        say("latency at half load")
        half = bench.half(rates, seconds * 2, rounds)
        overloads = []
        for batch, time in OVERLOADED:
            say(f"overload of ({batch}, {time})")
            overloads.append(bench.overload(batch, time, overload_s))
        code = server.stop()
    missed = judge(rates, half, overloads)
    if code:
        missed.append(f"the server ended with {code}")
    return Report(rates=rates, foreign=foreign, half=half, overloads=tuple(overloads), missed=tuple(missed))


def judge(rates: tuple[Rate, ...], half: Half, overloads: list[Overload]) -> list[str]:
    """Goals that were missed, in words."""
    missed = []
    for shape in SHAPES:
        most = max(one.outcome.per_s for one in rates if (one.batch, one.time) == shape)
        if most < LEAST_PER_S:
            missed.append(f"{most:.0f} requests/s of {shape}; {LEAST_PER_S:g} are asked for")
    if half.spread > MOST_SPREAD:
        missed.append(f"p99 is {half.spread:.1f} x p50 at half load; {MOST_SPREAD:g} x is allowed")
    for one in overloads:
        shape = (one.batch, one.time)
        if one.outcome.refused.p99_ms > MOST_REFUSAL_MS:
            missed.append(
                f"refusals of {shape} took {one.outcome.refused.p99_ms:.0f} ms (p99); {MOST_REFUSAL_MS:g} may"
            )
        if one.of_peak < LEAST_OF_PEAK:
            missed.append(f"{one.of_peak:.0%} of the peak of {shape} was answered; {LEAST_OF_PEAK:.0%} is asked for")
        if one.outcome.lost:
            missed.append(f"{one.outcome.lost} requests of {shape} got no answer")
    return missed


def table(report: Report) -> str:
    """The report as text."""
    lines = [f"{'shape':>9}{'connections':>13}{'per s':>9}{'p50 ms':>9}{'p99 ms':>9}{'client':>8}"]
    for one in report.rates:
        took = one.outcome.answered
        shape = f"({one.batch}, {one.time})"
        lines.append(
            f"{shape:>9}{one.connections:13}{one.outcome.per_s:9.0f}{took.p50_ms:9.2f}{took.p99_ms:9.2f}"
            f"{one.outcome.client_cpu:8.0%}"
        )
    lines += [
        f"{one.tool:>9}{one.connections:13}{one.per_s:9.0f}   {one.failed} failed, {one.checked} checked"
        for one in report.foreign
    ]
    lines.append(f"half load, {report.half.rate:.0f}/s: p99 is {report.half.spread:.2f} x p50")
    for took in (one.answered for one in report.half.rounds):
        lines.append(f"{'':9}p50 {took.p50_ms:.2f}, p95 {took.p95_ms:.2f}, p99 {took.p99_ms:.2f} ms")
    for over in report.overloads:
        refused = over.outcome.refused
        lines.append(
            f"overload of ({over.batch}, {over.time}): {over.outcome.per_s:.0f}/s accepted, {over.of_peak:.0%} of "
            f"{over.peak_per_s:.0f}/s; {over.outcome.refusals_per_s:.0f}/s refused, {over.outcome.given_up} given up"
        )
        lines.append(
            f"{'':9}refusals p50 {refused.p50_ms:.1f}, p99 {refused.p99_ms:.1f} ms; memory "
            f"{over.rss_before_mib:.0f} MiB before, {over.rss_max_mib:.0f} at most, {over.rss_after_mib:.0f} after"
        )
    lines += [f"MISSED: {one}" for one in report.missed] or ["all goals are reached"]
    return "\n".join(lines)


@click.command()
@click.option("--bundle", type=click.Path(path_type=Path, exists=True), help="Instead of a 2 x 256 LSTM made here.")
@click.option("--seconds", default=2.0, show_default=True, type=click.FloatRange(min=0.1), help="Of one turn.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(min=1))
@click.option("--overload", default=10.0, show_default=True, type=click.FloatRange(min=0.2), help="Seconds of each.")
@click.option("--max-queue", default=256, show_default=True, type=click.IntRange(min=1), help="Of the server.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def main(bundle: Path | None, seconds: float, rounds: int, overload: float, max_queue: int, *, as_json: bool) -> None:
    """Rates, latency and overload of binary requests over HTTP."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if bundle is None:
            bundle = folder / "lstm.rnnx"
            export_lstm(bundle)
        machine = describe()
        report = measure(
            bundle,
            folder,
            seconds=seconds,
            rounds=rounds,
            overload_s=overload,
            max_queue=max_queue,
            say=lambda what: click.echo(what, err=True),
        )
    click.echo(json.dumps({"machine": machine, **asdict(report)}, indent=1) if as_json else table(report))
    if report.missed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
