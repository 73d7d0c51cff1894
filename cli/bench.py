"""``rnnx bench``: what a bundle's variants and their peers cost, side by side, against the machine."""

from __future__ import annotations

import json as json_module
import re

import click

from .params import RANGE, Names, Numbers, axis_size
from .progress import stages

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|s)\Z")
_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@click.command("bench")
@click.argument("bundle", type=click.Path())
@click.option(
    "--provider",
    "providers",
    type=Names(),
    default="cpu",
    show_default=True,
    help="cpu,cuda,tensorrt,openvino,plugin:LIBRARY.",
)
@click.option(
    "--precision", "precisions", type=Names(), default=(), help="fp32,int8,fp16; all in the bundle if absent."
)
@click.option("--mode", "modes", type=Names(), default="offline", show_default=True, help="offline,streaming.")
@click.option("--batch", "batches", type=Numbers(), default=(), help="Batch sizes; 1 if absent.")
@click.option("--time", "times", type=Numbers(), default=(), help="Steps of a sequence or chunk; 1,100 if absent.")
@RANGE
@click.option("--size", "sizes", multiple=True, metavar="AXIS=SIZE", help="Size of another dynamic axis. Repeatable.")
@click.option("--threads", type=Numbers(), default=(), help="Threads within one operator; one for each core if absent.")
@click.option(
    "--peers",
    type=Names(),
    default=(),
    help="torch,torch-compile,torchscript,onnxruntime,openvino,openvino-f32. Those of torch need --source.",
)
@click.option("--source", metavar="SOURCE", help="The model that torch's peers run: file.py:callable.")
@click.option("--init", multiple=True, metavar="KEY=VALUE", help="An argument for the source's callable. Repeatable.")
@click.option("--checkpoint", metavar="FILE", help="The source's weights: .pt, .pth, .ckpt, .bin or .safetensors.")
@click.option("--trust-pickle", is_flag=True, help="Let the checkpoint run code while it is read.")
@click.option("--reference", metavar="NAME", help="What ratios are told against; bare ONNX Runtime, else the first.")
@click.option("--frame-period", metavar="10ms", help="How long a time step lasts, for the real-time factor.")
@click.option("--data", metavar="FILE.npz", help="Real inputs by name, cut and repeated to each size.")
@click.option("--seconds", type=float, default=1.0, show_default=True, help="Time for the measured runs of each row.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of random inputs and of resampling.")
@click.option("--no-resources", is_flag=True, help="Leave out memory and loading, measured in a process for each.")
@click.option("--no-roofline", is_flag=True, help="Leave out the machine's ceilings and the counting of operations.")
@click.option("--json", metavar="FILE", help="Write everything as JSON; - prints it instead of the table.")
@click.option("--html", metavar="FILE", help="Write one self-contained page with plots.")
@click.option(
    "--compare", metavar="OLD.json", help="Tell what is slower than in an earlier benchmark, and exit with 1."
)
@click.option("--threshold", metavar="5%", help="Smallest change that --compare counts; 5% if absent.")
def command(  # noqa: PLR0917  (click passes them by name)
    bundle: str,
    providers: tuple[str, ...],
    precisions: tuple[str, ...],
    modes: tuple[str, ...],
    batches: tuple[int, ...],
    times: tuple[int, ...],
    ranges: tuple[str, ...],
    sizes: tuple[str, ...],
    threads: tuple[int, ...],
    peers: tuple[str, ...],
    source: str | None,
    init: tuple[str, ...],
    checkpoint: str | None,
    reference: str | None,
    frame_period: str | None,
    data: str | None,
    seconds: float,
    seed: int,
    json: str | None,
    html: str | None,
    compare: str | None,
    threshold: str | None,
    *,
    trust_pickle: bool,
    no_resources: bool,
    no_roofline: bool,
) -> None:
    """Measure BUNDLE: latency, throughput, memory and distance to the machine's limit, beside its peers.

    Candidates take turns, so that a slow moment of the machine hits all alike; ratios come with 95% intervals. Exits
    with 1 where a variant fails or answers wrongly, or where --compare finds one that is slower beyond noise.
    """
    from ..benchmarks.bench.bench import plan_bench, run_bench
    from ..benchmarks.bench.comparing import THRESHOLD
    from ..benchmarks.bench.files import TERMINAL, check_targets, keep, read_report
    from ..benchmarks.bench.request import Origin, Request
    from .arrays import read_inputs
    from .bench_table import bench_text, comparison_text

    if source is None and (init or checkpoint or trust_pickle):
        raise click.UsageError("--init, --checkpoint and --trust-pickle describe a source: give --source too.")
    if threshold is not None and compare is None:
        raise click.UsageError("--threshold is for --compare: give that too.")
    request = Request(
        origin=Origin(
            bundle=bundle,
            source=source,
            init=init,
            checkpoint=checkpoint,
            trust_pickle=trust_pickle,
            ranges=ranges,
        ),
        providers=providers,
        precisions=precisions,
        modes=modes,
        batches=batches,
        times=times,
        threads=threads,
        peers=peers,
        reference=reference,
        frame_period_ms=None if frame_period is None else _milliseconds(frame_period),
        data=None if data is None else read_inputs([data]),
        sizes=dict(map(axis_size, sizes)),
        seconds=seconds,
        seed=seed,
        resources=not no_resources,
        roofline=not no_roofline,
    )
    # Whatever can be found wrong is found before minutes of measuring.
    least = THRESHOLD if threshold is None else _fraction(threshold)
    old = None if compare is None else read_report(compare)
    check_targets(json, html)
    plan = plan_bench(request)
    with stages(plan.steps) as tell:
        report = run_bench(plan, tell)
    measured, comparison = keep(report, old=old, threshold=least, json_file=json, html_file=html)
    if json == TERMINAL:
        click.echo(json_module.dumps(measured, indent=1))
    else:
        click.echo(bench_text(report) + ("" if comparison is None else f"\n\n{comparison_text(comparison)}"))
    if not report.passed or (comparison is not None and not comparison.passed):
        raise SystemExit(1)


def _milliseconds(text: str) -> float:
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise click.BadParameter(f"'{text}' must be a number and us, ms or s: 10ms.", param_hint="'--frame-period'")
    return float(match[1]) * _MS[match[2]]


def _fraction(text: str) -> float:
    number = text.strip().removesuffix("%")
    try:
        value = float(number) / (100 if "%" in text else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value < 10:
        raise click.BadParameter(f"'{text}' must be a share from 0, such as 5%.", param_hint="'--threshold'")
    return value
