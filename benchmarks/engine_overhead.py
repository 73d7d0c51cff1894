"""What an engine gives to 64 streams, and what it costs each request: steps per second beside a plain loop.

Three ways through the same session, a 2 x 256 LSTM by default: a plain loop that steps one stream after the other, the
engine from a thread (``submit``), and the engine from an event loop (``infer``). They take turns round by round, in
an order drawn anew for each (one thread of ONNX Runtime, so that none spins on after its turn). The cost of a request
is the processor's time of a turn beyond that of the session's steps: checking, queueing, stacking, splitting, waking.
Run it with ``python -m rnnx.benchmarks.engine_overhead``; it exits with 1 where a request costs more than the limit.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import torch

from ..exporters import export
from ..runtime.engine import Engine
from ..runtime.session import load

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from ..runtime.session import Session
    from ..runtime.state import State

LIMIT_US = 50.0
FEATURES, CHUNK = 80, 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """One way to step all streams.

    Attributes:
        way: how.
        steps_per_s: median over the rounds.
        of_plain: median of its ratio to the plain loop of the same round.
        overhead_us: median processor time of a request beyond the steps of the session, microseconds; None of the
            plain loop.
    """

    way: str
    steps_per_s: float
    of_plain: float
    overhead_us: float | None = None


def plain(session: Session, chunks: list[dict[str, NDArray[Any]]], steps: int) -> None:
    """One stream after the other."""
    states = [session.initial_state() for _ in chunks]
    for _ in range(steps):
        for number, chunk in enumerate(chunks):
            _, states[number] = session.step(chunk, states[number])


def threaded(engine: Engine, chunks: list[dict[str, NDArray[Any]]], steps: int) -> None:
    """All streams submit, then all answers are awaited."""
    states = [engine.session.initial_state() for _ in chunks]
    for _ in range(steps):
        futures = [engine.submit(chunk, state=state) for chunk, state in zip(chunks, states, strict=True)]
        answers = [future.result() for future in futures]
        states = [answer.state for answer in answers if answer.state is not None]


def awaited(engine: Engine, chunks: list[dict[str, NDArray[Any]]], steps: int) -> None:
    """Every stream is a task of one event loop."""

    async def one(chunk: dict[str, NDArray[Any]]) -> None:
        state = engine.session.initial_state()
        for _ in range(steps):
            answer = await engine.infer(chunk, state=state)
            assert answer.state is not None
            state = answer.state

    async def together() -> None:
        await asyncio.gather(*(one(chunk) for chunk in chunks))

    asyncio.run(together())


def measure(folder: Path, *, hidden: int, layers: int, streams: int, rounds: int, steps: int) -> list[Way]:
    """Export the model into ``folder`` and time the ways in turns."""
    torch.manual_seed(0)
    path = folder / "stream.rnnx"
    model = torch.nn.LSTM(FEATURES, hidden, layers, batch_first=True).eval()
    export(model, inputs={"input": f"float32[batch, time, {FEATURES}]"}, out=path, streaming="on")
    random = np.random.default_rng(0)
    chunks = [{"input": random.normal(size=(1, CHUNK, FEATURES)).astype(np.float32)} for _ in range(streams)]
    seconds: dict[str, list[float]] = {"plain": [], "submit": [], "infer": []}
    costs: dict[str, list[float]] = {"submit": [], "infer": []}
    stepped_ns = [0]
    with load(path, provider="cpu", threads=1, mode="streaming") as session:
        plain_step = session.step

        def step(inputs: Mapping[str, Any], state: State) -> tuple[dict[str, NDArray[Any]], State]:
            began = time.thread_time_ns()
            found = plain_step(inputs, state)
            stepped_ns[0] += time.thread_time_ns() - began
            return found

        session.step = step  # type: ignore[method-assign]
        with Engine(session) as engine:
            ways: dict[str, Callable[[], None]] = {
                "plain": lambda: plain(session, chunks, steps),
                "submit": lambda: threaded(engine, chunks, steps),
                "infer": lambda: awaited(engine, chunks, steps),
            }
            for number in range(rounds + 1):
                for way in random.permutation(list(ways)).tolist():
                    before, used, began = stepped_ns[0], time.process_time_ns(), time.perf_counter()
                    ways[way]()
                    taken = time.perf_counter() - began
                    if number == 0:  # warm-up
                        continue
                    seconds[way].append(taken)
                    if way in costs:
                        around_ns = time.process_time_ns() - used - (stepped_ns[0] - before)
                        costs[way].append(around_ns / 1e3 / (streams * steps))
    return [
        Way(
            way=way,
            steps_per_s=streams * steps / statistics.median(taken),
            of_plain=statistics.median(one / two for one, two in zip(seconds["plain"], taken, strict=True)),
            overhead_us=statistics.median(costs[way]) if way in costs else None,
        )
        for way, taken in seconds.items()
    ]


@click.command()
@click.option("--hidden", default=256, show_default=True, type=click.IntRange(min=1))
@click.option("--layers", default=2, show_default=True, type=click.IntRange(min=1))
@click.option("--streams", default=64, show_default=True, type=click.IntRange(min=1))
@click.option("--rounds", default=15, show_default=True, type=click.IntRange(min=1))
@click.option(
    "--steps", default=20, show_default=True, type=click.IntRange(min=1), help="Chunks of each stream a round."
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def main(hidden: int, layers: int, streams: int, rounds: int, steps: int, *, as_json: bool) -> None:
    """Steps per second of many streams through an engine and through a plain loop, on one thread of the CPU."""
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), hidden=hidden, layers=layers, streams=streams, rounds=rounds, steps=steps)
    passed = all(one.overhead_us is None or one.overhead_us <= LIMIT_US for one in found)
    if as_json:
        ways = [asdict(one) for one in found]
        click.echo(json.dumps({"limit_us": LIMIT_US, "passed": passed, "streams": streams, "ways": ways}, indent=1))
    else:
        click.echo(f"{'way':8}{'steps/s':>10}{'of plain':>10}{'cost us':>10}   ({streams} streams, {rounds} rounds)")
        for one in found:
            cost = "" if one.overhead_us is None else f"{one.overhead_us:.1f}"
            click.echo(f"{one.way:8}{one.steps_per_s:10.0f}{one.of_plain:10.2f}{cost:>10}")
        click.echo(f"at most {LIMIT_US:g} us are allowed for a request: {'passed' if passed else 'MISSED'}")
    if not passed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
