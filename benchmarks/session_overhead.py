"""What ``Session.run`` costs over the bare ``InferenceSession.run`` on the same inputs, at batch 1 and time 1.

Run it with ``python -m rnnx.benchmarks.session_overhead``; it exits with 1 where a case costs more than the limit.
"""

from __future__ import annotations

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
from ..runtime.ort import LOG_FATAL, import_ort
from ..runtime.session import load

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

LIMIT_US = 15.0
FEATURES, HIDDEN = 40, 64
WARMUP = 500


class Model(torch.nn.Module):
    """One LSTM layer, as small as they get in practice, so that the share of what surrounds it is large."""

    def __init__(self, *, ragged: bool) -> None:
        super().__init__()
        self.ragged = ragged
        self.lstm = torch.nn.LSTM(FEATURES, HIDDEN, batch_first=True)

    def forward(self, features: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """float32 ``(batch, time, features)`` and int64 ``(batch,)`` to float32 ``(batch, time, hidden)``."""
        if lengths is None:
            y: torch.Tensor = self.lstm(features)[0]
            return y
        packed = torch.nn.utils.rnn.pack_padded_sequence(features, lengths, batch_first=True, enforce_sorted=False)
        return torch.nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True)[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class Overhead:
    """What one way to call a session costs.

    Attributes:
        case: how it is called.
        bare_us: median of the bare ``InferenceSession.run``, in microseconds.
        session_us: median of ``Session.run``, in microseconds.
    """

    case: str
    bare_us: float
    session_us: float

    @property
    def overhead_us(self) -> float:
        """The difference, in microseconds."""
        return self.session_us - self.bare_us


def measure(folder: Path, *, ragged: bool, rounds: int) -> list[Overhead]:
    """Export a model into ``folder`` and time the ways to call it, in turns, so that a slow moment hits all alike."""
    path = folder / f"ragged-{ragged}.rnnx"
    torch.manual_seed(0)
    lengths: NDArray[np.int64] | None = np.ones(1, np.int64) if ragged else None
    export(
        Model(ragged=ragged).eval(),
        inputs={"features": f"float32[batch, time, {FEATURES}]"},
        lengths="lengths" if ragged else None,
        out=path,
    )
    x = np.random.default_rng(0).normal(size=(1, 1, FEATURES)).astype(np.float32)
    with load(path, provider="cpu", threads=1) as session:
        bare = bare_session(session.bundle.read(session.variant.file))
        names = [spec.name for spec in session.signature.outputs]
        feed = {"features": x} if lengths is None else {"features": x, "lengths": lengths}
        ways: dict[str, Callable[[], Any]] = {"": lambda: bare.run(names, feed)}
        if lengths is None:
            ways["run(inputs)"] = lambda: session.run(feed)
        else:
            ways["run(inputs), lengths left out"] = lambda: session.run({"features": x})
            ways["run(inputs, lengths as an array)"] = lambda: session.run({"features": x}, lengths)
            ways["run(inputs, lengths as a list)"] = lambda: session.run({"features": x}, [1])
        taken = medians(ways, rounds)
    base = taken.pop("")
    return [Overhead(case=case, bare_us=base, session_us=found) for case, found in taken.items()]


def bare_session(model: bytes) -> Any:  # noqa: ANN401  (ONNX Runtime ships no types)
    """ONNX Runtime's own session over a graph, on one thread of the CPU."""
    ort = import_ort()
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = LOG_FATAL
    return ort.InferenceSession(
        model, options, providers=["CPUExecutionProvider"], provider_options=[{}], enable_fallback=0
    )


def medians(ways: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median duration of each, in microseconds."""
    taken: dict[str, list[int]] = {case: [] for case in ways}
    clock = time.perf_counter_ns
    for number in range(WARMUP + rounds):
        for case, call in ways.items():
            start = clock()
            call()
            end = clock()
            if number >= WARMUP:
                taken[case].append(end - start)
    return {case: statistics.median(durations) / 1e3 for case, durations in taken.items()}


@click.command()
@click.option("--rounds", default=5000, show_default=True, type=click.IntRange(min=1), help="Calls of each way.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def main(rounds: int, *, as_json: bool) -> None:
    """Time Session.run against the bare InferenceSession.run at batch 1 and time 1, on one thread of the CPU."""
    with tempfile.TemporaryDirectory() as folder:
        found = [one for ragged in (False, True) for one in measure(Path(folder), ragged=ragged, rounds=rounds)]
    passed = all(one.overhead_us <= LIMIT_US for one in found)
    if as_json:
        rows = [asdict(one) | {"overhead_us": one.overhead_us} for one in found]
        click.echo(json.dumps({"limit_us": LIMIT_US, "passed": passed, "cases": rows}, indent=1))
    else:
        click.echo(f"{'case':34}{'bare us':>9}{'session us':>12}{'overhead us':>13}   (medians of {rounds})")
        for one in found:
            click.echo(f"{one.case:34}{one.bare_us:9.1f}{one.session_us:12.1f}{one.overhead_us:13.1f}")
        click.echo(f"at most {LIMIT_US} us are allowed: {'passed' if passed else 'MISSED'}")
    if not passed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
