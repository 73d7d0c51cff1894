"""What one step of a stream costs over the bare ``InferenceSession.run``, of a 2-layer LSTM at batch 1.

Two ways: ``Stream.push``, whose state lies in bound buffers, and ``Session.step``, whose state is a value. Only the
first is held to the limit. Run it with ``python -m rnnx.benchmarks.stream_overhead``; it exits with 1 where a push
costs more.
"""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from pathlib import Path

import click
import numpy as np
import torch

from ..exporters import export
from ..runtime.session import load
from .session_overhead import Overhead, bare_session, medians

LIMIT_US = 10.0
FEATURES, HIDDEN = 80, 256
PUSH, STEP = "Stream.push", "Session.step"


def measure(folder: Path, rounds: int) -> dict[str, Overhead]:
    """Export the model into ``folder`` and time one step of it each way, in turns."""
    torch.manual_seed(0)
    path = folder / "stream.rnnx"
    model = torch.nn.LSTM(FEATURES, HIDDEN, 2, batch_first=True).eval()
    export(model, inputs={"input": f"float32[batch, time, {FEATURES}]"}, out=path, streaming="on")
    x = np.random.default_rng(0).normal(size=(1, 1, FEATURES)).astype(np.float32)
    with ExitStack() as opened:
        # Each way has a session of its own. Two that share one would find each other's weights in the cache.
        first, second = (
            opened.enter_context(load(path, provider="cpu", threads=1, mode="streaming")) for _ in range(2)
        )
        bare = bare_session(first.bundle.read(first.variant.file))
        stream, state = first.stream(), second.initial_state()
        names = [spec.name for spec in first.signature.outputs]
        feed = {"input": x, **state.values}
        taken = medians(
            {
                "bare": lambda: bare.run(names, feed),
                PUSH: lambda: stream.push(x),
                STEP: lambda: second.step({"input": x}, state),
            },
            rounds,
        )
    return {case: Overhead(case=case, bare_us=taken["bare"], session_us=taken[case]) for case in (PUSH, STEP)}


@click.command()
@click.option("--rounds", default=5000, show_default=True, type=click.IntRange(min=1), help="Steps of each way.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def main(rounds: int, *, as_json: bool) -> None:
    """Time Stream.push against the bare InferenceSession.run, one step of a 2 x 256 LSTM, on one thread of the CPU."""
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), rounds)
    push, step = found[PUSH], found[STEP]
    passed = push.overhead_us <= LIMIT_US
    if as_json:
        report = {"limit_us": LIMIT_US, "passed": passed, "bare_us": push.bare_us, "push_us": push.session_us}
        click.echo(json.dumps(report | {"step_us": step.session_us}, indent=1))
    else:
        click.echo(f"{'case':14}{'bare us':>9}{'session us':>12}{'overhead us':>13}   (medians of {rounds})")
        for one in found.values():
            click.echo(f"{one.case:14}{one.bare_us:9.1f}{one.session_us:12.1f}{one.overhead_us:13.1f}")
        click.echo(f"at most {LIMIT_US} us are allowed for {PUSH}: {'passed' if passed else 'MISSED'}")
    if not passed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
