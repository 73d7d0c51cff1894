"""What fp32 costs: bare ONNX Runtime, a session of rnnx over both forms of the graph, and PyTorch, in turns.

Two layers at one thread, every candidate in one process on the same inputs; a figure is how many times as fast as bare
ONNX Runtime, the ratio of medians with its 95% interval. Run it with ``python -m rnnx.benchmarks.fp32_forms``; what was
found with it is in ``benchmarks/notes/fp32.md``.
"""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import torch
from torch import nn

from ..bundle import Bundle
from ..exporters import export
from ..exporters.forms import add_forms
from ..exporters.quiet import quiet
from ..runtime.machine import cores, cpu, versions
from ..runtime.session import load
from .bench.intervals import paired_ratio
from .bench.schedule import Pace, measure
from .session_overhead import bare_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

#: Features and hidden size.
SIZES = ((80, 256), (512, 512))
#: Batch and time.
SHAPES = ((1, 1), (1, 100), (16, 100), (64, 50))
KINDS = ("LSTM", "GRU", "RNN")
REFERENCE = "onnxruntime"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One candidate at one shape.

    Attributes:
        kind: ``LSTM``, ``GRU`` or ``RNN``.
        features: size of a frame.
        hidden: size of the state.
        batch: rows.
        time: steps.
        candidate: ``onnxruntime``, ``rnnx``, ``rnnx scan``, ``torch`` or ``torch-compile``.
        median_ms: of all runs, milliseconds.
        times_as_fast: as bare ONNX Runtime.
        low: where the 95% interval of that begins.
        high: where it ends.
        max_abs_diff: largest difference to bare ONNX Runtime.
    """

    kind: str
    features: int
    hidden: int
    batch: int
    time: int
    candidate: str
    median_ms: float
    times_as_fast: float
    low: float
    high: float
    max_abs_diff: float


def rows(
    kind: str, size: tuple[int, int], folder: Path, *, shapes: tuple[tuple[int, int], ...], pace: Pace, compiled: bool
) -> Iterator[Row]:
    """Export one stack, give it its other form, and time every candidate at every shape."""
    features, hidden = size
    path = folder / f"{kind}-{hidden}.rnnx"
    torch.manual_seed(0)
    model = getattr(nn, kind)(features, hidden, 2, batch_first=True).eval()
    export(model, inputs={"input": f"float32[batch, time, {features}]"}, out=path, streaming="off")
    add_forms(path)
    bundle = Bundle.open(path)
    bare = bare_session(bundle.read(bundle.variant("fp32").file))
    names = [one.name for one in bare.get_outputs()]
    with ExitStack() as opened:
        forms = {
            name: opened.enter_context(load(path, provider="cpu", threads=1, form=form))
            for name, form in (("rnnx", ""), ("rnnx scan", "scan"))
        }
        for batch, time in shapes:
            x = np.random.default_rng(0).standard_normal((batch, time, features)).astype(np.float32)
            calls: dict[str, Callable[[], Any]] = {REFERENCE: lambda x=x: bare.run(names, {"input": x})}  # type: ignore[misc]
            calls |= {name: lambda one=one, x=x: one.run({"input": x}) for name, one in forms.items()}  # type: ignore[misc]
            calls |= _torch_calls(model, x, compiled=compiled)
            yield from _measured(calls, pace, names[0], kind=kind, size=size, shape=(batch, time))


def _torch_calls(model: nn.Module, x: NDArray[np.float32], *, compiled: bool) -> dict[str, Callable[[], Any]]:
    ready: dict[str, Callable[[torch.Tensor], Any]] = {"torch": model}
    if compiled:
        torch.compiler.reset()
        ready["torch-compile"] = torch.compile(model, dynamic=False)
    given = torch.from_numpy(x)

    def call(name: str) -> Any:  # noqa: ANN401  (whatever the model returns)
        with torch.inference_mode():
            return ready[name](given)

    with quiet("torch._dynamo", "torch._inductor"):
        for name in ready:
            call(name)
    return {name: lambda name=name: call(name) for name in ready}  # type: ignore[misc]


def _measured(
    calls: Mapping[str, Callable[[], Any]],
    pace: Pace,
    output: str,
    *,
    kind: str,
    size: tuple[int, int],
    shape: tuple[int, int],
) -> Iterator[Row]:
    answers = {name: _first(call(), output) for name, call in calls.items()}
    timings = measure(calls, pace, seed=0)
    reference = timings[REFERENCE].rounds
    for name, timing in timings.items():
        times = paired_ratio(reference, timing.rounds, seed=0)
        yield Row(
            kind=kind,
            features=size[0],
            hidden=size[1],
            batch=shape[0],
            time=shape[1],
            candidate=name,
            median_ms=float(np.median(np.concatenate(timing.rounds))) / 1e6,
            times_as_fast=times.value,
            low=times.low,
            high=times.high,
            max_abs_diff=float(np.abs(answers[name] - answers[REFERENCE]).max()),
        )


def _first(answer: Any, output: str) -> NDArray[np.float32]:  # noqa: ANN401  (a dict, a list or a tuple of tensors)
    found = answer[output] if isinstance(answer, dict) else answer[0]
    array: NDArray[np.float32] = found.numpy() if isinstance(found, torch.Tensor) else found
    return array


@click.command()
@click.option("--seconds", default=1.0, show_default=True, help="How long each candidate is measured at each shape.")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Only this kind. Repeatable.")
@click.option("--compile", "compiled", is_flag=True, help="torch.compile as well.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def main(seconds: float, kinds: tuple[str, ...], *, compiled: bool, as_json: bool) -> None:
    """Time two layers in fp32, as ONNX Runtime's operators, as scans and in PyTorch, on one thread of the CPU."""
    torch.set_num_threads(1)
    found: list[Row] = []
    if not as_json:
        tools = ", ".join(f"{name} {version}" for name, version in versions(("onnxruntime", "torch")).items())
        head = "| kind | size | batch | time | candidate | ms | times as fast | max_abs_diff |"
        click.echo(f"{cpu()}, {cores()} cores, 1 thread; {tools}\n\n{head}\n|{'---|' * 8}")
    with tempfile.TemporaryDirectory() as folder:
        for kind in kinds or KINDS:
            for size in SIZES:
                pace = Pace(seconds=seconds)
                for row in rows(kind, size, Path(folder), shapes=SHAPES, pace=pace, compiled=compiled):
                    found.append(row)
                    if not as_json:
                        click.echo(
                            f"| {row.kind} | 2x{row.features}/{row.hidden} | {row.batch} | {row.time} "
                            f"| {row.candidate} | {row.median_ms:.4g} "
                            f"| {row.times_as_fast:.2f} [{row.low:.2f}, {row.high:.2f}] | {row.max_abs_diff:.0e} |"
                        )
    if as_json:
        click.echo(json.dumps([asdict(row) for row in found], indent=1))


if __name__ == "__main__":
    main()
