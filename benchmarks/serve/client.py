"""The client: a process of its own that reads jobs as lines of JSON and writes what came of each.

The parent starts it as ``python -m rnnx.benchmarks.serve.client``. It uses no library of HTTP, whose work would be
taken for the server's: the heads are what ``rnnx serve`` is known to send.
"""

from __future__ import annotations

import asyncio
import bisect
import collections
import gc
import json
import selectors
import subprocess
import sys
import time
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click
import numpy as np

from .http_connection import HttpConnection, now
from .job import Job, Latency, Outcome
from .material import ATOL, Material, error_of, make_material

if TYPE_CHECKING:
    from collections.abc import Sequence

#: How long answers are waited for when nothing more is sent, seconds.
_LAST_S = 10.0
_TICK_S = 0.001
#: One answer of so many is compared with the right one.
_CHECK_EVERY = 16
OK, UNAVAILABLE = 200, 503


class Load:
    """One job while it runs: sends requests and takes answers. Used in the event loop's thread."""

    def __init__(self, job: Job, material: Material) -> None:
        """Be ready; :meth:`run` runs it, once."""
        self._job, self._material = job, material
        self._kinds = len(material.requests)
        self._open: list[HttpConnection] = []
        self._free: list[HttpConnection] = []
        #: Open loop: moments at which a request should have been sent that waits for a connection.
        self._waiting: collections.deque[float] = collections.deque()
        self._sent = self._given_up = self._lost = self._checked = self._late_refusals = self._late_answers = 0
        self._worst = 0.0
        self._end = 0.0
        self._statuses: collections.Counter[int] = collections.Counter()
        self._answered: list[float] = []
        self._refused: list[float] = []
        self._sending: list[float] = []

    async def run(self) -> Outcome:
        """Do the job."""
        loop, job = asyncio.get_running_loop(), self._job
        for _ in range(job.connections):
            _, connection = await loop.create_connection(lambda: HttpConnection(self), "127.0.0.1", job.port)
            self._open.append(connection)
        self._free = list(self._open)
        used, begun = time.process_time(), now()
        self._end = begun + job.seconds
        if job.rate:
            await self._send_openly(begun)
        else:
            for connection in self._open:
                self._send(connection, now())
            await asyncio.sleep(job.seconds)
        cpu = (time.process_time() - used) / (now() - begun)
        until = now() + _LAST_S
        while self._is_due() and now() < until:  # noqa: ASYNC110  (each answer would have to set an event)
            await asyncio.sleep(0.01)
        self._lost += sum(one.busy for one in self._open) + len(self._waiting)
        still, self._open = self._open, []
        for connection in still:
            connection.busy = False
            connection.close()
        await asyncio.sleep(0)
        return Outcome(
            per_s=(len(self._answered) - self._late_answers) / job.seconds,
            refusals_per_s=(len(self._refused) - self._late_refusals) / job.seconds,
            sent=self._sent,
            given_up=self._given_up,
            lost=self._lost,
            statuses={str(status): count for status, count in sorted(self._statuses.items())},
            answered=latency(self._answered),
            refused=latency(self._refused),
            sending=latency(self._sending),
            checked=self._checked,
            max_abs_diff=self._worst,
            client_cpu=cpu,
        )

    def _is_due(self) -> bool:
        """Whether answers are still to come."""
        return bool(self._waiting) or any(one.busy for one in self._open)

    async def _send_openly(self, begun: float) -> None:
        """Send at moments that were drawn before, whatever is answered."""
        job, loop = self._job, asyncio.get_running_loop()
        random = np.random.default_rng(job.seed)
        count = max(1, round(job.rate * job.seconds))
        # Arrivals of a Poisson process, given their number, are as independent uniform moments (Ross, Stochastic
        # Processes, theorem 2.3.1).
        moments = (begun + np.sort(random.uniform(0.0, job.seconds, count))).tolist()
        at = 0
        # Far above what can be answered, looking more often would take the processor from the server.
        pause_s = 0.0 if job.patient else _TICK_S
        ended = loop.create_future()

        def tick() -> None:
            nonlocal at
            current = now()
            due = bisect.bisect_right(moments, current, at)
            while at < due and (job.patient or self._free):
                self._arrive(moments[at])
                at += 1
            self._given_up += due - at
            at = due
            if at < count:
                loop.call_later(max(pause_s, moments[at] - now()), tick)
            else:
                ended.set_result(None)

        tick()
        await ended

    def _arrive(self, intended: float) -> None:
        if self._free:
            self._send(self._free.pop(), intended)
        else:
            self._waiting.append(intended)

    def _send(self, connection: HttpConnection, intended: float) -> None:
        kind = self._sent % self._kinds
        self._sent += 1
        if self._job.rate:
            self._sending.append(now() - intended)
        connection.ask(self._material.requests[kind], kind, intended)

    def answered(self, connection: HttpConnection, status: int, body: bytes, json_bytes: int) -> None:
        """An answer is there."""
        current = now()
        self._statuses[status] += 1
        waited = current - connection.intended
        if status == OK:
            self._answered.append(waited)
            self._late_answers += current > self._end
            if len(self._answered) % _CHECK_EVERY == 1:
                self._checked += 1
                right = self._material.answers[connection.kind]
                self._worst = max(self._worst, error_of(body, json_bytes, right))
        elif status == UNAVAILABLE:
            self._refused.append(waited)
            self._late_refusals += current > self._end
        if self._job.rate:
            if self._waiting:
                self._send(connection, self._waiting.popleft())
            else:
                self._free.append(connection)
        elif current < self._end:
            self._send(connection, current)

    def lost(self, connection: HttpConnection) -> None:
        """A connection was closed by the server."""
        self._lost += connection.busy
        connection.busy = False
        if connection in self._free:
            self._free.remove(connection)
        if connection in self._open:
            self._open.remove(connection)


def latency(seconds: Sequence[float]) -> Latency:
    """Percentiles of durations in seconds."""
    if not seconds:
        return Latency(count=0, p50_ms=0.0, p95_ms=0.0, p99_ms=0.0, p999_ms=0.0, max_ms=0.0)
    found = (np.percentile(seconds, (50, 95, 99, 99.9, 100)) * 1e3).tolist()
    return Latency(
        count=len(seconds), p50_ms=found[0], p95_ms=found[1], p99_ms=found[2], p999_ms=found[3], max_ms=found[4]
    )


def do(job: Job) -> Outcome:
    """Do a job in this process.

    Raises:
        click.ClickException: an answer was wrong.
    """
    material = _material(job.bundle, job.batch, job.time)
    gc.collect()
    gc.disable()
    try:
        with asyncio.Runner(loop_factory=_exact_loop if job.rate and job.patient else _fast_loop) as runner:
            found = runner.run(Load(job, material).run())
    finally:
        gc.enable()
    if not found.max_abs_diff <= ATOL:
        raise click.ClickException(f"an answer differs by {found.max_abs_diff:.3g} from what is right.")
    return found


class ClientProcess:
    """The client in a process of its own; a context manager."""

    def __init__(self) -> None:
        """Start it."""
        command = [sys.executable, "-m", "rnnx.benchmarks.serve.client"]
        self._process = subprocess.Popen(  # noqa: S603  (our own program)
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def do(self, job: Job) -> Outcome:
        """Let it do a job.

        Raises:
            click.ClickException: it failed; it has said why.
        """
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(asdict(job)) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise click.ClickException("the client ended.")
        found: dict[str, Any] = json.loads(line)
        if "error" in found:
            raise click.ClickException(found["error"])
        found |= {name: Latency(**found[name]) for name in ("answered", "refused", "sending")}
        return Outcome(**found)

    def __enter__(self) -> Self:
        """This client."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


@cache
def _material(bundle: str, batch: int, time: int) -> Material:
    return make_material(Path(bundle), batch=batch, time=time)


def _exact_loop() -> asyncio.AbstractEventLoop:
    """An event loop whose timers are exact to microseconds: epoll's, and uvloop's, are to milliseconds."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


def _fast_loop() -> asyncio.AbstractEventLoop:
    import uvloop  # noqa: PLC0415  (an extra)

    return uvloop.new_event_loop()


def main() -> None:
    """Do the jobs that come on stdin."""
    for line in sys.stdin:
        try:
            told = asdict(do(Job(**json.loads(line))))
        except click.ClickException as error:
            told = {"error": error.message}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
