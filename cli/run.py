"""``rnnx run``: a bundle's task for people, or arrays from files into files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from .params import ENGINE_CACHE, PROVIDER_HELP, RANGE, STRICT
from .table import table
from .task_run import asked, run_task, task_options

if TYPE_CHECKING:
    from ..runtime.placement import Placement


@click.command("run")
@click.argument("bundle", type=click.Path())
@task_options
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=FILE.npy|FILE.npz|NAME=NUMBER",
    help="An array for one input, a file of arrays by name, or a scalar. Repeat it for each input.",
)
@click.option("--lengths", metavar="FILE.npy|31,7", help="How much of the padded axis each row uses.")
@click.option("--provider", default="auto", show_default=True, help=PROVIDER_HELP)
@click.option("--precision", default="auto", show_default=True, help="auto, fp32, int8 or fp16.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads within one operator; one for each core if absent.")
@click.option(
    "--tuned",
    is_flag=False,
    flag_value="",
    metavar="[p99 1x1]",
    help="Run as 'rnnx tune' found best on this machine; name the entry where there are several.",
)
@RANGE
@ENGINE_CACHE
@STRICT
@click.option("--placement", is_flag=True, help="Tell where each node ran, from the profile of one more run.")
@click.option("--output-dir", type=click.Path(), help="Folder for the file NAME.npy of each output, with --input.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(  # noqa: PLR0917  (click passes them by name)
    bundle: str,
    inputs: tuple[str, ...],
    lengths: str | None,
    provider: str,
    precision: str,
    threads: int | None,
    tuned: str | None,
    ranges: tuple[str, ...],
    engine_cache: str | None,
    output_dir: str | None,
    *,
    strict: bool,
    placement: bool,
    as_json: bool,
    **task: Any,  # noqa: ANN401  (whatever the options of a task hold)
) -> None:
    """Run BUNDLE on a text, sound, picture or table, as its task says; or on arrays, each output to NAME.npy."""
    from ..runtime.session import load
    from ..runtime.sizes import parse_ranges
    from .arrays import fitted, read_inputs, read_lengths, write_arrays

    wanted = asked(task)
    load_options: dict[str, Any] = {
        "provider": provider,
        "precision": precision,
        "threads": threads,
        "tuned": False if tuned is None else tuned or True,
        "ranges": parse_ranges(ranges) if ranges else None,
        "engine_cache": engine_cache,
        "strict": strict,
    }
    if wanted is not None:
        if inputs or lengths or placement or output_dir:
            raise click.UsageError("--input, --lengths, --placement and --output-dir go without --" + wanted.kind + ".")
        run_task(bundle, wanted, load_options, as_json=as_json)
        return
    if not inputs or output_dir is None:
        missing = "'--output-dir'" if inputs else "'--input', or '--text' and the like"
        raise click.UsageError(f"Missing option {missing}.")
    arrays, sizes = read_inputs(inputs), read_lengths(lengths)
    with load(bundle, **load_options) as session:
        feed = fitted(arrays, session.signature)
        outputs = session.run(feed, sizes)
        placed = session.placement(feed, sizes) if placement else None
        choice, variant, use = session.provider_report, session.variant.key, session.tuned
    files = write_arrays(output_dir, outputs)
    if as_json:
        listed = [
            {"name": name, "dtype": str(array.dtype), "shape": list(array.shape), "file": files[name]}
            for name, array in outputs.items()
        ]
        report = {"bundle": bundle, "variant": variant, "provider": choice.to_json(), "outputs": listed}
        if use is not None:
            report["tuned"] = use.to_json()
        if placed is not None:
            report["placement"] = placed.to_json()
        click.echo(json.dumps(report, indent=1))
    else:
        rows = [(name, array.dtype, list(array.shape), files[name]) for name, array in outputs.items()]
        click.echo(table(("output", "dtype", "shape", "file"), rows))
        click.echo(f"variant: {variant}\nprovider: {choice}" + ("" if use is None else f"\ntuned: {use}"))
        if placed is not None:
            click.echo(f"\n{_placement(placed)}")


def _placement(placed: Placement) -> str:
    rows = [
        (one.name or "-", one.operator, one.module, one.provider, one.runs, one.time_us, one.output_bytes)
        for one in (*placed.nodes, *placed.copies)
    ]
    columns = ("node", "operator", "module", "provider", "runs", "us", "bytes out")
    return f"{table(columns, rows)}\nplacement: {placed}"
