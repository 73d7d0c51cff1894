"""``rnnx verify``: hold a bundle against its golden vectors, or against its source over the whole matrix."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from .params import PROVIDER_HELP
from .parity import parity_table
from .table import table

if TYPE_CHECKING:
    from ..runtime.verify import VerifyReport


@click.command("verify")
@click.argument("bundle", type=click.Path())
@click.option("--provider", default="auto", show_default=True, help=PROVIDER_HELP)
@click.option("--precision", help="Verify only this precision: fp32, int8 or fp16.")
@click.option("--source", metavar="SOURCE", help="Run the whole parity matrix against this source too. Needs torch.")
@click.option("--init", multiple=True, metavar="KEY=VALUE", help="An argument for the source's callable. Repeatable.")
@click.option("--checkpoint", metavar="FILE", help="The source's weights: .pt, .pth, .ckpt, .bin or .safetensors.")
@click.option("--trust-pickle", is_flag=True, help="Let the checkpoint run code while it is read.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(  # noqa: PLR0917  (click passes them by name)
    bundle: str,
    provider: str,
    precision: str | None,
    source: str | None,
    init: tuple[str, ...],
    checkpoint: str | None,
    *,
    trust_pickle: bool,
    as_json: bool,
) -> None:
    """Check every file of BUNDLE, and its answers against its golden vectors; that needs no torch.

    With --source, the whole parity matrix is run against the PyTorch model as well.
    """
    from ..runtime.verify import verify

    if source is None and (init or checkpoint or trust_pickle):
        raise click.UsageError("--init, --checkpoint and --trust-pickle describe a source: give --source too.")
    golden = verify(bundle, provider=provider, precision=precision)
    reports = []
    if source is not None:
        from ..exporters import load_source, prove_bundle
        from ..exporters.source import parse_init

        loaded = load_source(source, init=parse_init(init), checkpoint=checkpoint, trust_pickle=trust_pickle)
        reports = prove_bundle(bundle, loaded.module, provider=provider, precision=precision)
    if as_json:
        click.echo(json.dumps(golden.to_json() | {"parity": [one.to_json() for one in reports]}, indent=1))
    else:
        click.echo("\n\n".join([_text(golden), *map(parity_table, reports)]))
    if not golden.passed or not all(one.passed for one in reports):
        raise SystemExit(1)


def _text(report: VerifyReport) -> str:
    rows = [
        (
            row.variant,
            row.case,
            " ".join(f"{name}{list(shape)}".replace(", ", ",") for name, shape in row.shapes.items()),
            row.output,
            row.max_abs_diff,
            row.allowed,
            "pass" if row.passed else f"FAIL {row.reason}".rstrip(),
        )
        for row in report.rows
    ]
    headers = ("variant", "case", "inputs", "output", "max_abs_diff", "allowed", "result")
    missed = sum(not row.passed for row in report.rows)
    verdict = "passed" if report.passed else f"FAILED: {missed} of {len(rows)} miss" if rows else "FAILED: no cases"
    own = "".join(f"{key}: {proof}\n" for key, proof in report.own.items())
    return (
        f"{table(headers, rows)}\n"
        f"{own}"
        f"provider: {report.provider}\n"
        f"{report.path}: {report.files} files have their hashes, {len(rows)} outputs compared, {verdict}."
    )
