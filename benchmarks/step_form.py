"""What a frame of a stream costs: ``Stream.push`` over int8 streaming variants, with their ``Scan`` and without it.

Two layers at one thread, one frame a push. Both forms take turns on the same frames, beside fp32; a figure is
microseconds a frame, a ratio that of medians with its 95% interval. Run it with ``python -m
rnnx.benchmarks.step_form``; what was found with it is in ``benchmarks/notes/quantization.md``.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
from torch import nn

from ..exporters import export
from ..exporters.forms import add_forms
from ..exporters.passes.step_form import STEP
from ..exporters.quantization.budgets import Budget
from ..exporters.quantization.quantize import quantize
from ..runtime.machine import cpu
from ..runtime.ort import import_ort
from ..runtime.session import STREAMING, load
from .bench.intervals import paired_ratio
from .bench.schedule import Pace, measure
from .int8_layers import trained

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Features and hidden size.
SIZES = ((80, 256), (512, 512))
#: The precision and the form of each candidate; what the others are held against comes first.
CANDIDATES = (("int8", ""), ("int8", STEP), ("fp32", ""))
#: A budget that every node meets: what int8 takes is to be measured, not what is worth it.
_ALL = Budget(limit=-1000.0)


def lines(kind: str, size: tuple[int, int], folder: Path, pace: Pace) -> Iterator[str]:
    """Export and quantize one stack, give it its other form, and time all candidates."""
    features, hidden = size
    path = folder / f"{kind}-{hidden}.rnnx"
    model = trained(getattr(nn, kind)(features, hidden, 2, batch_first=True))
    export(model, inputs={"input": f"float32[batch, time, {features}]"}, out=path, streaming="on")
    quantize(path, budget=_ALL)
    add_forms(path, mode=STREAMING, forms=[STEP], precisions=["int8"])
    frame = np.random.default_rng(0).standard_normal((1, 1, features)).astype(np.float32)
    with ExitStack() as opened:
        calls, first = {}, {}
        for precision, form in CANDIDATES:
            name = f"{precision} {form}".strip()
            session = load(path, provider="cpu", threads=1, mode=STREAMING, precision=precision, form=form)
            stream = opened.enter_context(opened.enter_context(session).stream())
            first[name] = stream.push({"input": frame})["output"]
            calls[name] = lambda stream=stream: stream.push({"input": frame})
        timings = measure(calls, pace, seed=0)
        reference = next(iter(calls))
        for name, timing in timings.items():
            taken = float(np.median(np.concatenate(timing.rounds))) / 1e3
            times = paired_ratio(timings[reference].rounds, timing.rounds, seed=0)
            apart = float(np.abs(first[name] - first[reference]).max())
            yield f"| {kind} | 2x{features}/{hidden} | {name} | {taken:.1f} | {times} | {apart:.1e} |"


@click.command()
@click.option("--kind", "kinds", multiple=True, type=click.Choice(["GRU", "RNN"]), default=("GRU",), show_default=True)
@click.option("--seconds", type=float, default=5.0, show_default=True, help="For each candidate.")
def main(kinds: tuple[str, ...], seconds: float) -> None:
    """Print a table of what a frame costs."""
    click.echo(f"{cpu()}; onnxruntime {import_ort().__version__}")
    click.echo("| layers | size | variant | us a frame | times as fast as int8 | max_abs_diff |")
    click.echo("| --- | --- | --- | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory(prefix="rnnx-step-") as folder:
        for kind in kinds:
            for size in SIZES:
                for line in lines(kind, size, Path(folder), Pace(seconds=seconds)):
                    click.echo(line)


if __name__ == "__main__":
    main()
