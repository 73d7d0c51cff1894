"""``rnnx triton``: a model repository for NVIDIA Triton, and the check of one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from .table import table

if TYPE_CHECKING:
    from ..runtime.deploy.triton import TritonRepository


@click.command("triton")
@click.argument("bundle", type=click.Path(), required=False)
@click.option("-o", "--out", metavar="FOLDER", help="The model repository to write.")
@click.option("--check", "repository", metavar="FOLDER", help="Check a model repository instead, whoever wrote it.")
@click.option("--name", default="", help="Name of the model; the bundle's own by default.")
@click.option("--precision", default="auto", show_default=True, metavar="auto|fp32|int8|fp16")
@click.option(
    "--mode",
    type=click.Choice(["all", "offline", "streaming"]),
    default="all",
    show_default=True,
    help="Whole sequences, streams whose states Triton keeps, or all that the bundle has and Triton can serve.",
)
@click.option("--max-batch-size", type=click.IntRange(min=0), help="Largest batch where Triton can batch; else 64.")
@click.option("--instances", type=click.IntRange(min=1), default=1, show_default=True, help="Copies of each model.")
@click.option("--gpu/--cpu", default=False, help="Where the copies run.  [default: cpu]")
@click.option("--force", is_flag=True, help="Replace a repository that rnnx wrote.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(
    bundle: str | None,
    out: str | None,
    repository: str | None,
    *,
    name: str,
    precision: str,
    mode: str,
    max_batch_size: int | None,
    instances: int,
    gpu: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Write a Triton model repository from BUNDLE, or --check one for what Triton would answer wrongly with.

    Exit code 1 where the check finds something.
    """
    if (bundle is None) == (repository is None) or (bundle is None) != (out is None):
        raise click.UsageError("give BUNDLE and --out FOLDER, or --check FOLDER.")
    if repository is not None:
        _check(repository, as_json=as_json)
        return
    from ..runtime.deploy.triton import write_repository

    assert bundle is not None
    assert out is not None
    written = write_repository(
        bundle,
        out,
        name=name,
        precision=precision,
        mode=mode,
        max_batch_size=max_batch_size,
        instances=instances,
        gpu=gpu,
        overwrite=force,
    )
    click.echo(json.dumps(_json(written), indent=1) if as_json else _text(written))


def _check(repository: str, *, as_json: bool) -> None:
    from ..runtime.deploy.triton_check import validate

    findings = validate(repository)
    if as_json:
        click.echo(json.dumps([{"model": one.model, "problem": one.problem} for one in findings], indent=1))
    else:
        click.echo("\n".join(map(str, findings)) or f"'{repository}' keeps Triton's rules.")
    if findings:
        raise SystemExit(1)


def _text(written: TritonRepository) -> str:
    rows = [(one.name, one.variant.key, one.max_batch_size, len(one.states), one.reason) for one in written.models]
    left = "".join(f"\nnot here: {why}" for why in written.left_out.values())
    return f"{table(('model', 'variant', 'batch', 'states', 'why not batched'), rows)}{left}\nwrote {written.path}"


def _json(written: TritonRepository) -> dict[str, object]:
    return {
        "path": str(written.path),
        "bundle_sha256": written.bundle,
        "models": [
            {
                "name": one.name,
                "variant": one.variant.key,
                "max_batch_size": one.max_batch_size,
                "states": len(one.states),
                "reason": one.reason,
            }
            for one in written.models
        ],
        "left_out": written.left_out,
    }
