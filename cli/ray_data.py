"""``rnnx ray-data``: a bundle over files, with Ray Data."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("ray-data")
@click.argument("bundle", type=click.Path())
@click.option("--input", "inputs", multiple=True, required=True, metavar="FILE", help="Parquet or npz; repeat it.")
@click.option("--output", required=True, type=click.Path(path_type=Path), metavar="FOLDER", help="Parquet files.")
@click.option(
    "--column", "columns", multiple=True, metavar="INPUT=COLUMN", help="Where an input, or lengths, come from."
)
@click.option("--keep-only", metavar="OUTPUT,...", help="Outputs that are wanted; all by default.")
@click.option("--prefix", default="", help="Before an output's name, to name its column.")
@click.option("--drop", multiple=True, metavar="COLUMN", help="A column that is not kept.")
@click.option("--processes", type=click.IntRange(min=1), default=1, show_default=True, help="That hold the bundle.")
@click.option(
    "--batch-size", type=click.IntRange(min=1), default=256, show_default=True, help="Rows handed over at once."
)
@click.option("--num-cpus", type=click.FloatRange(min=0), default=1.0, show_default=True, help="Cores of a process.")
@click.option("--num-gpus", type=click.FloatRange(min=0), default=0.0, show_default=True, help="GPUs of a process.")
@click.option("--provider", default="auto", show_default=True, help="auto, cpu, cuda or tensorrt.")
@click.option("--precision", default="auto", show_default=True, help="auto, fp32, int8 or fp16.")
@click.option(
    "--address",
    default="local",
    show_default=True,
    envvar="RAY_ADDRESS",
    help="Of a cluster; or local, for a Ray of its own here.",
)
def command(  # noqa: PLR0917  (click passes them by name)
    bundle: str,
    inputs: tuple[str, ...],
    output: Path,
    columns: tuple[str, ...],
    keep_only: str | None,
    prefix: str,
    drop: tuple[str, ...],
    processes: int,
    batch_size: int,
    num_cpus: float,
    num_gpus: float,
    provider: str,
    precision: str,
    address: str,
) -> None:
    """Run BUNDLE on every row of Parquet or npz files, and write the rows with their answers as Parquet.

    A row is one sequence, of any length, and gets the answer that 'rnnx run' gives it alone. Rows keep their order and
    their other columns. On a cluster every machine must see the bundle and the files.
    """
    from ..runtime.deploy.ray.files import FilesOptions, map_files

    named = dict(_pair(one) for one in columns)
    predictor = {
        "columns": named,
        "outputs": keep_only.split(",") if keep_only else None,
        "prefix": prefix,
        "drop": drop,
        "provider": provider,
        "precision": precision,
    }
    options = FilesOptions(
        predictor=predictor,
        processes=processes,
        batch_size=batch_size,
        num_cpus=num_cpus,
        num_gpus=num_gpus,
        address=address,
    )
    count = map_files(bundle, inputs, output, options)
    click.echo(f"wrote {count} rows to {output}")


def _pair(text: str) -> tuple[str, str]:
    name, equals, column = text.partition("=")
    if not name or not equals or not column:
        raise click.BadParameter(f"'{text}' must be INPUT=COLUMN, such as features=mel.", param_hint="'--column'")
    return name, column
