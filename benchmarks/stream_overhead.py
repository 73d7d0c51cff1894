"""What ``Stream.push`` costs over the bare ``InferenceSession.run`` on the same step, of a 2-layer LSTM at batch 1.

Run it with ``python -m rnnx.benchmarks.stream_overhead``; it exits with 1 where a step costs more than the limit.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import click
import numpy as np
import torch

from ..exporters import export
from ..runtime.session import load
from .session_overhead import Overhead, bare_session, medians

LIMIT_US = 10.0
FEATURES, HIDDEN = 80, 256


def measure(folder: Path, rounds: int) -> Overhead:
    """Export the model into ``folder`` and time one step of it both ways, in turns."""
    torch.manual_seed(0)
    path = folder / "stream.rnnx"
    model = torch.nn.LSTM(FEATURES, HIDDEN, 2, batch_first=True).eval()
    export(model, inputs={"input": f"float32[batch, time, {FEATURES}]"}, out=path, streaming="on")
    x = np.random.default_rng(0).normal(size=(1, 1, FEATURES)).astype(np.float32)
    with load(path, provider="cpu", threads=1, mode="streaming") as session, session.stream() as stream:
        bare = bare_session(session.bundle.read(session.variant.file))
        names = [spec.name for spec in session.signature.outputs]
        feed = {"input": x, **session.initial_state().values}
        taken = medians({"bare": lambda: bare.run(names, feed), "push": lambda: stream.push(x)}, rounds)
    return Overhead(case="Stream.push", bare_us=taken["bare"], session_us=taken["push"])


@click.command()
@click.option("--rounds", default=5000, show_default=True, type=click.IntRange(min=1), help="Steps of each way.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def main(rounds: int, *, as_json: bool) -> None:
    """Time Stream.push against the bare InferenceSession.run, one step of a 2 x 256 LSTM, on one thread of the CPU."""
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), rounds)
    passed = found.overhead_us <= LIMIT_US
    if as_json:
        report = {"limit_us": LIMIT_US, "passed": passed, "bare_us": found.bare_us, "push_us": found.session_us}
        click.echo(json.dumps(report, indent=1))
    else:
        click.echo(
            f"bare {found.bare_us:.1f} us, push {found.session_us:.1f} us, over it {found.overhead_us:.1f} us "
            f"(medians of {rounds}); at most {LIMIT_US} us are allowed: {'passed' if passed else 'MISSED'}"
        )
    if not passed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
