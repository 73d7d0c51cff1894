"""``rnnx zoo``: recurrent systems that are trained on real data, to start from."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .progress import lines, steps
from .table import table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..models.zoo.evaluating import Evaluation


_DATA = click.option(
    "--data", type=click.Path(path_type=Path), help="Folder with the unpacked data, if it is not installed."
)


@click.group("zoo")
def command() -> None:
    """Systems that are trained on real data: list them, export them, train them again, score them."""


@command.command("list", short_help="List the systems: what each does and reaches.")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def list_(*, as_json: bool) -> None:
    """List the systems: what each does, of what it is built, what it learned from and what it reaches."""
    from ..models.zoo.registry import ZOO, figures, reached

    rows: list[dict[str, Any]] = []
    for name, entry in ZOO.items():
        measured = figures(name)
        rows.append(
            {
                "name": name,
                "task": entry.task,
                "architecture": entry.architecture,
                "metric": reached(measured),
                "size_bytes": None if measured is None else measured["bundle_bytes"],
                "data": entry.data,
                "licence": entry.licence,
            }
        )
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    columns = ("name", "task", "architecture", "metric", "size_bytes", "data", "licence")
    wide = table(columns, [[row[column] for column in columns] for row in rows])
    narrow = sys.stdout.isatty() and len(wide.split("\n", 1)[0]) > shutil.get_terminal_size().columns
    click.echo("\n\n".join(map(_block, rows)) if narrow else wide)


def _block(row: Mapping[str, Any]) -> str:
    """What is known of a system in a few lines, for a terminal that is too narrow for the table."""
    size = "" if row["size_bytes"] is None else f", {row['size_bytes'] / 1e6:.2f} MB"
    return "\n".join(
        (
            f"{row['name']}: {row['task']}",
            f"  {row['metric']}{size}",
            f"  {row['architecture']}",
            f"  data: {row['data']}; {row['licence']}",
        )
    )


@command.command("export", short_help="Export a system as a proven bundle.")
@click.argument("name")
@click.option("-o", "--out", required=True, metavar="NAME.rnnx", help="The bundle to write.")
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Other weights, from 'rnnx zoo train'.")
@_DATA
@click.option("--no-int8", is_flag=True, help="No int8 variants.")
@click.option("--force", is_flag=True, help="Replace a bundle that stands there.")
def export(name: str, out: str, checkpoint: Path | None, data: Path | None, *, no_int8: bool, force: bool) -> None:
    """Export NAME as a proven bundle that does its job without torch."""
    from ..models.zoo.exporting import export_system

    made = export_system(
        name, out, checkpoint=checkpoint, data=data, int8=not no_int8, overwrite=force, progress=lines()
    )
    files = made.bundle.manifest.files
    for variant in made.bundle.manifest.variants:
        size = sum(files[file].size_bytes for file in (variant.file, *variant.data_files))
        click.echo(f"{variant.key:<16} {size:>10,} bytes")
    for note in (*made.bundle.manifest.notes, *made.notes):
        click.echo(note)
    click.echo(f"wrote {made.bundle.path}")


@command.command("train", short_help="Train a system from its data.")
@click.argument("name")
@click.option("-o", "--out", metavar="FILE", help="The checkpoint to write.  [default: NAME.safetensors]")
@click.option("--seed", default=0, show_default=True, help="Of everything that is left to chance.")
@click.option("--steps", "count", type=click.IntRange(min=1), help="Optimiser steps, in place of the recipe's own.")
@_DATA
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the training is kept; the same command goes on from there.  [default: NAME.training]",
)
@click.option("--force", is_flag=True, help="Replace a checkpoint that stands there.")
def train(  # noqa: PLR0917  (click passes them by name)
    name: str,
    out: str | None,
    seed: int,
    count: int | None,
    data: Path | None,
    folder: Path | None,
    *,
    force: bool,
) -> None:
    """Train NAME from its data, score it on held-out data, and write a checkpoint.

    A training that was cut off goes on where it was, from its folder.
    """
    from ..models.zoo.training import train_system

    with steps() as report:
        made = train_system(
            name,
            out or f"{name}.safetensors",
            seed=seed,
            steps=count,
            data=data,
            folder=folder or Path(f"{name}.training"),
            overwrite=force,
            report=report,
        )
    click.echo(f"{made.metric.name} on {made.score.count} held-out examples: {made.metric.show(made.score.value)}")
    for key, value in made.score.details.items():
        click.echo(f"  {key}: {value:.4g}")
    click.echo(f"wrote {made.file} (SHA-256 {made.sha256})")


@command.command("eval", short_help="Score every variant of a system's bundle.")
@click.argument("bundle", type=click.Path())
@click.option("--system", "name", help="The system, where the bundle does not say it.")
@click.option(
    "--checkpoint", type=click.Path(path_type=Path), help="Weights of the PyTorch model, if not the committed."
)
@_DATA
@click.option("--provider", default="auto", show_default=True, help="Where to run the bundle.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads within one operator.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def evaluate(  # noqa: PLR0917  (click passes them by name)
    bundle: str,
    name: str | None,
    checkpoint: Path | None,
    data: Path | None,
    provider: str,
    threads: int | None,
    *,
    as_json: bool,
) -> None:
    """Score every variant of BUNDLE on its task's held-out examples, beside the PyTorch model."""
    from ..models.zoo.evaluating import evaluate_bundle

    found = evaluate_bundle(
        bundle, name=name, checkpoint=checkpoint, data=data, provider=provider, threads=threads, progress=lines()
    )
    click.echo(json.dumps(found.to_json(), indent=1) if as_json else _text(found))


def _text(found: Evaluation) -> str:
    metric = found.metric
    rows = [(one.runner, metric.show(one.score.value), one.score.count, f"{one.size_bytes:,}") for one in found.results]
    parts = [table(("runner", metric.name, "examples", "bytes"), rows)]
    details = dict.fromkeys(key for one in found.results for key in one.score.details)
    if details:
        cells = [
            (key, *(f"{one.score.details[key]:.4g}" if key in one.score.details else "-" for one in found.results))
            for key in details
        ]
        parts.append(table(("detail", *(one.runner for one in found.results)), cells))
    parts += [f"{key} was not measured: {why}" for key, why in found.skipped.items()]
    return "\n\n".join(parts)
