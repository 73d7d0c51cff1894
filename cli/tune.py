"""``rnnx tune``: the fastest way to run a bundle on this machine, kept in the bundle."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from ..tuned import OBJECTIVES
from .params import Names, Numbers, axis_size
from .progress import lines
from .table import table

if TYPE_CHECKING:
    from ..benchmarks.tune.report import TuneReport


@click.command("tune")
@click.argument("bundle", type=click.Path())
@click.option(
    "--objective",
    type=click.Choice(list(OBJECTIVES)),
    default="p50",
    show_default=True,
    help="Median or 99th percentile of a call's duration, or sequences a second of calls one at a time.",
)
@click.option("--batch", type=click.IntRange(min=1), help="Rows of a batch; 1 if absent.")
@click.option("--time", type=click.IntRange(min=1), help="Steps of a sequence or chunk; 1 if absent.")
@click.option("--mode", type=click.Choice(["offline", "streaming"]), default="offline", show_default=True)
@click.option("--provider", default="cpu", show_default=True, help="cpu, cuda, tensorrt or openvino.")
@click.option("--threads", type=Numbers(), default=(), help="Threads to try; 1,2,4... to one for each core if absent.")
@click.option("--precision", "precisions", type=Names(), default=(), help="Variants to try; all if absent.")
@click.option("--forms", is_flag=True, help="Try other forms of the graphs too; one that wins joins the bundle.")
@click.option(
    "--max-loss",
    metavar="0.5%|30dB",
    help="What a variant may lose: of the metric that it was made within, else of the outputs; or signal to noise.",
)
@click.option("--size", "sizes", multiple=True, metavar="AXIS=SIZE", help="Size of another dynamic axis. Repeatable.")
@click.option("--data", metavar="FILE.npz", help="Real inputs by name, to time and to measure losses on.")
@click.option("--seconds", type=float, default=1.0, show_default=True, help="Time for the final runs of each setup.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of random inputs and of resampling.")
@click.option("--dry-run", is_flag=True, help="Keep nothing in the bundle.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(  # noqa: PLR0917  (click passes them by name)
    bundle: str,
    objective: str,
    batch: int | None,
    time: int | None,
    mode: str,
    provider: str,
    threads: tuple[int, ...],
    precisions: tuple[str, ...],
    max_loss: str | None,
    sizes: tuple[str, ...],
    data: str | None,
    seconds: float,
    seed: int,
    *,
    forms: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Try BUNDLE's variants with threads and session options, and keep the best in its manifest, for this machine.

    What is chosen beat the plain default beyond noise, side by side with it, and gives the golden vectors' answers;
    else the default is kept. rnnx.load(path, tuned=True) and 'rnnx run --tuned' use it. Exits with 1 where the machine
    was too busy to tell.
    """
    from ..benchmarks.tune.losses import MaxLoss
    from ..benchmarks.tune.report import TuneRequest
    from ..benchmarks.tune.tune import tune
    from .arrays import read_inputs

    request = TuneRequest(
        bundle=bundle,
        objective=objective,
        batch=batch,
        time=time,
        mode=mode,
        provider=provider,
        threads=threads,
        precisions=precisions,
        forms=forms,
        max_loss=None if max_loss is None else MaxLoss.parse(max_loss),
        data=None if data is None else read_inputs([data]),
        sizes=dict(map(axis_size, sizes)),
        seconds=seconds,
        seed=seed,
        dry_run=dry_run,
    )
    report = tune(request, lines())
    click.echo(json.dumps(report.to_json(), indent=1) if as_json else _text(report))
    if report.disturbed:
        raise SystemExit(1)


def _text(report: TuneReport) -> str:
    rows = []
    for one in report.rows:
        found = one.latency
        numbers = (
            ("-", "-", "-") if found is None else (f"{found.p50:.4g}", f"{found.p99:.4g}", f"{one.throughput:.4g}")
        )
        rows.append((one.setup.name, *numbers, one.ratio or "-", one.loss, one.verdict))
    headers = ("setup", "p50 ms", "p99 ms", "sequences/s", "over the default", "loss", "verdict")
    equal = f"two sessions of the default differ by {report.noise:.1%}"
    return f"{table(headers, rows)}\n{equal}\n{report.summary}"
